package dev.edgepose;

import java.io.File;
import java.io.IOException;

/** What installing a bundle needs of the file system. */
final class Folders {
    private Folders() {}

    /** Removes a file, or a folder with all that is in it. Nothing happens where it is absent. */
    static void delete(File file) throws IOException {
        File[] children = file.listFiles();
        if (children != null) {
            for (File child : children) {
                delete(child);
            }
        }
        if (file.exists() && !file.delete()) {
            throw new IOException(file + " cannot be deleted");
        }
    }

    /** The same where nothing can be done about a failure: the next installation tries again. */
    static void deleteQuietly(File file) {
        try {
            delete(file);
        } catch (IOException ignored) {
            // See above.
        }
    }

    static void make(File folder) throws IOException {
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new IOException("the folder " + folder + " cannot be made");
        }
    }

    static void rename(File from, File to) throws IOException {
        if (!from.renameTo(to)) {
            throw new IOException(from + " cannot be renamed to " + to);
        }
    }

    /** Whether a bundle's folder or a file in it may have this name. */
    static boolean isName(String name) {
        return !name.isEmpty() && !name.startsWith(".") && name.indexOf('\\') < 0 && name.indexOf('/') < 0
                && name.indexOf('\0') < 0;
    }
}
