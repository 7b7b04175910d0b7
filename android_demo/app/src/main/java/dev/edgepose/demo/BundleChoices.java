package dev.edgepose.demo;

import dev.edgepose.BundleInstaller;
import dev.edgepose.EdgePoseException;
import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The bundles that can be opened: pushed into the app's folder on the device, and those inside the app. */
public final class BundleChoices {
    private final BundleInstaller installer;
    private final File pushed;

    /** pushed: the folder that `edgepose android install --push` fills; may be null or absent. */
    public BundleChoices(BundleInstaller installer, File pushed) {
        this.installer = installer;
        this.pushed = pushed;
    }

    /** Names in the order of a picker; a pushed bundle hides one of the same name inside the app. */
    public List<String> names() {
        List<String> names = new ArrayList<>();
        File[] folders = pushed == null ? null : pushed.listFiles();
        if (folders != null) {
            Arrays.sort(folders);
            for (File folder : folders) {
                if (new File(folder, "bundle.json").isFile()) {
                    names.add(folder.getName());
                }
            }
        }
        try {
            for (String name : installer.bundles()) {
                if (!names.contains(name)) {
                    names.add(name);
                }
            }
        } catch (EdgePoseException error) {
            // An app without bundles of its own still runs those that were pushed.
            if (names.isEmpty()) {
                throw error;
            }
        }
        return names;
    }

    /** The folder of a bundle, ready to be opened. */
    public File folder(String name) {
        File own = pushed == null ? null : new File(pushed, name);
        if (own != null && new File(own, "bundle.json").isFile()) {
            return own;
        }
        return installer.install(name);
    }
}
