package dev.edgepose;

import androidx.annotation.NonNull;
import java.io.EOFException;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.ClosedByInterruptException;
import java.util.HashSet;
import java.util.Set;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipInputStream;

/**
 * A bundle as one ZIP file, for example chosen by the user or lying inside the app: unpacks it, since the native
 * library opens folders. The files lie at the top of the archive or in one folder ({@code zip -r NAME.zip NAME}).
 */
public final class BundleArchive {
    private static final int MOST_FILES = 64;
    private static final long MOST_BYTES = 1L << 30;
    private static final String PACK_HINT = "pack the folder that edgepose convert wrote: zip -r NAME.zip NAME";

    private BundleArchive() {}

    /**
     * Unpacks a bundle into {@code target}, which appears when the bundle is complete and verified with its
     * checksums. A bundle that lies there is replaced.
     *
     * @return target
     * @throws EdgePoseException INVALID_BUNDLE (no ZIP, truncated, files that a bundle cannot have),
     *     CHECKSUM_MISMATCH, UNSUPPORTED (an engine that this build lacks), INVALID_ARGUMENT (target is something
     *     else than a bundle), IO
     */
    @NonNull
    public static synchronized File unpack(@NonNull InputStream archive, @NonNull File target) {
        if (archive == null || target == null) {
            throw new EdgePoseException(EdgePoseException.Code.INVALID_ARGUMENT,
                    (archive == null ? "the archive" : "the target folder") + " is null", "", null);
        }
        Native.require();
        File whole = target.getAbsoluteFile();
        // Names with a dot in front are no bundles, whatever is left of them.
        File part = new File(whole.getParentFile(), "." + whole.getName() + ".part");
        File old = new File(whole.getParentFile(), "." + whole.getName() + ".old");
        putBack(old, whole); // of a process that was killed between the two renames below
        if (whole.exists() && !new File(whole, "bundle.json").isFile()) {
            throw new EdgePoseException(EdgePoseException.Code.INVALID_ARGUMENT,
                    target + " exists and is no bundle",
                    "name a folder that does not exist yet", null);
        }
        try {
            Folders.delete(part);
            Folders.delete(old);
            Folders.make(part);
            extract(archive, part);
            Native.check(part.getPath());
            if (whole.exists()) {
                Folders.rename(whole, old);
            }
            Folders.rename(part, whole);
            Folders.deleteQuietly(old);
        } catch (ClosedByInterruptException error) {
            throw interrupted(target, error);
        } catch (IOException error) {
            throw new EdgePoseException(EdgePoseException.Code.IO,
                    "the bundle cannot be unpacked to " + target + ": "
                    + error.getMessage(), "check the free space of the device", error);
        } finally {
            Folders.deleteQuietly(part);
            putBack(old, whole);
        }
        return target;
    }

    private static void putBack(File old, File whole) {
        if (!whole.exists() && new File(old, "bundle.json").isFile()) {
            old.renameTo(whole); // where that fails, the next unpack tries again
        }
    }

    /**
     * The same for a part of an open file: what {@code ParcelFileDescriptor.getFileDescriptor()} gives, or an
     * {@code AssetFileDescriptor} with its start offset and length. The descriptor stays open, its position is
     * not moved; only where the thread is interrupted while it reads, a desktop JVM closes it.
     *
     * @param lengthBytes -1 for "to the end of the file"
     */
    @NonNull
    public static File unpack(
            @NonNull FileDescriptor archive, long offsetBytes, long lengthBytes, @NonNull File target) {
        try {
            return unpack(new DescriptorStream(archive, offsetBytes, lengthBytes), target);
        } catch (ClosedByInterruptException error) {
            throw interrupted(target, error);
        } catch (IOException error) {
            throw new EdgePoseException(EdgePoseException.Code.IO,
                    "the file descriptor cannot be read: " + error.getMessage(),
                    "open it for reading", error);
        }
    }

    private static EdgePoseException interrupted(File target, ClosedByInterruptException error) {
        return new EdgePoseException(EdgePoseException.Code.IO,
                "the thread that unpacks the bundle to " + target + " was interrupted", "unpack it again", error);
    }

    private static void extract(InputStream archive, File folder) throws IOException {
        Set<String> names = new HashSet<>();
        String top = null;
        long bytes = 0;
        byte[] buffer = new byte[1 << 16];
        // Not closed: the stream is the caller's.
        ZipInputStream zip = new ZipInputStream(archive);
        for (ZipEntry entry = next(zip); entry != null; entry = next(zip)) {
            String path = entry.getName();
            int slash = path.indexOf('/');
            String parent = slash < 0 ? "" : path.substring(0, slash);
            String name = path.substring(slash + 1);
            if (top == null) {
                top = parent;
            }
            boolean itself = name.isEmpty() && slash > 0; // the entry of the folder that holds the files
            if (!top.equals(parent) || slash >= 0 && !Folders.isName(parent) || !itself && !Folders.isName(name)) {
                throw wrong("the archive holds \"" + path + "\", which no bundle has", null);
            }
            if (itself) {
                continue;
            }
            if (!names.add(name)) {
                throw wrong("the archive holds \"" + path + "\" twice", null);
            }
            if (names.size() > MOST_FILES) {
                throw wrong("the archive holds more than " + MOST_FILES + " files", null);
            }
            try (OutputStream out = new FileOutputStream(new File(folder, name))) {
                for (int count = read(zip, buffer, path); count >= 0; count = read(zip, buffer, path)) {
                    bytes += count;
                    if (bytes > MOST_BYTES) {
                        throw wrong("the archive holds more than " + (MOST_BYTES >> 20) + " MB", null);
                    }
                    out.write(buffer, 0, count);
                }
            }
        }
        if (names.isEmpty()) {
            throw wrong("this is no ZIP archive, or an empty one", null);
        }
    }

    private static ZipEntry next(ZipInputStream zip) throws IOException {
        try {
            return zip.getNextEntry();
        } catch (ZipException | EOFException | IllegalArgumentException error) {
            throw wrong("the archive is damaged or cut off: " + error.getMessage(), error);
        }
    }

    private static int read(ZipInputStream zip, byte[] buffer, String path) throws IOException {
        try {
            return zip.read(buffer);
        } catch (ZipException | EOFException error) {
            throw wrong("the archive is damaged or cut off in \"" + path + "\": " + error.getMessage(), error);
        }
    }

    private static EdgePoseException wrong(String message, Throwable cause) {
        return new EdgePoseException(EdgePoseException.Code.INVALID_BUNDLE, message, PACK_HINT, cause);
    }
}
