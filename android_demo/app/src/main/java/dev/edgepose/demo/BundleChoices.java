package dev.edgepose.demo;

import dev.edgepose.BundleArchive;
import dev.edgepose.BundleInstaller;
import dev.edgepose.EdgePoseException;
import java.io.File;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The bundles that can be opened: the user's own in the app's folder on the device (pushed there with adb, or chosen
 * from the storage), and those inside the app.
 */
public final class BundleChoices {
    private final BundleInstaller installer;
    private final File own;

    /** own: the folder that `edgepose android install --push` fills, too; may be absent. */
    public BundleChoices(BundleInstaller installer, File own) {
        this.installer = installer;
        this.own = own;
    }

    /** Names in the order of a picker; a bundle of the user's hides one of the same name inside the app. */
    public List<String> names() {
        List<String> names = new ArrayList<>();
        File[] folders = own.listFiles();
        if (folders != null) {
            Arrays.sort(folders);
            for (File folder : folders) {
                // Those with a dot are not complete.
                if (!folder.getName().startsWith(".") && new File(folder, "bundle.json").isFile()) {
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
            // An app without bundles of its own still runs the user's.
            if (names.isEmpty()) {
                throw error;
            }
        }
        return names;
    }

    /** The bundle of that name, the first one where it is null; null where there is none. */
    public String chosen(String name) {
        if (name != null) {
            return name;
        }
        List<String> names = names();
        return names.isEmpty() ? null : names.get(0);
    }

    /** The folder of a bundle, ready to be opened. */
    public File folder(String name) {
        File folder = new File(own, name);
        if (new File(folder, "bundle.json").isFile()) {
            return folder;
        }
        return installer.install(name);
    }

    /**
     * Takes over a bundle that the user chose, a ZIP file: unpacked, verified, and replacing one of the same name.
     *
     * @return its name
     * @throws EdgePoseException as BundleArchive.unpack
     */
    public String add(InputStream archive, String fileName) {
        String name = Names.bundle(fileName);
        BundleArchive.unpack(archive, new File(own, name));
        return name;
    }
}
