package dev.edgepose;

import androidx.annotation.NonNull;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;

/**
 * Copies bundles out of an app's assets into files, since the native library opens folders. Every file is
 * checked against the list that {@code edgepose android install} wrote; a bundle appears under its name only
 * when it is complete.
 */
public final class BundleInstaller {
    /** The list of all files: one line each with SHA-256, bytes and "bundle/file". */
    public static final String INDEX = "index.txt";

    private static final String MARK = ".installed";

    /** Where the files come from; on Android: {@code name -> assets.open("bundles/" + name)}. */
    public interface Source {
        @NonNull
        InputStream open(@NonNull String name) throws IOException;
    }

    private static final class Entry {
        final String sha256;
        final long bytes;
        final String bundle;
        final String file;

        Entry(String sha256, long bytes, String bundle, String file) {
            this.sha256 = sha256;
            this.bytes = bytes;
            this.bundle = bundle;
            this.file = file;
        }
    }

    private final Source source;
    private final File folder;

    public BundleInstaller(@NonNull Source source, @NonNull File folder) {
        this.source = source;
        this.folder = folder;
    }

    /** The names of the bundles that the source holds. */
    @NonNull
    public List<String> bundles() {
        List<String> names = new ArrayList<>();
        for (Entry entry : index()) {
            if (!names.contains(entry.bundle)) {
                names.add(entry.bundle);
            }
        }
        return names;
    }

    /**
     * Returns the folder of an installed bundle; copies it first where it is absent, differs from the source, or
     * lacks a file or a part of one. A second thread waits, whatever installer it uses: they may have the same folder.
     *
     * @throws EdgePoseException INVALID_ARGUMENT (no such bundle), CHECKSUM_MISMATCH, IO
     */
    @NonNull
    public File install(@NonNull String bundle) {
        synchronized (BundleInstaller.class) {
            return installed(bundle);
        }
    }

    private File installed(String bundle) {
        List<Entry> entries = new ArrayList<>();
        StringBuilder mark = new StringBuilder();
        for (Entry entry : index()) {
            if (entry.bundle.equals(bundle)) {
                entries.add(entry);
                mark.append(entry.sha256).append(' ').append(entry.file).append('\n');
            }
        }
        if (entries.isEmpty()) {
            throw new EdgePoseException(EdgePoseException.Code.INVALID_ARGUMENT,
                    "the app holds no bundle \"" + bundle + "\"",
                    "put it there with: edgepose android install", null);
        }
        File target = new File(folder, bundle);
        File marker = new File(folder, bundle + MARK);
        if (mark.toString().equals(read(marker)) && isWhole(entries, target)) {
            return target;
        }
        File part = new File(folder, "." + bundle + ".part");
        try {
            Folders.delete(part);
            Folders.delete(marker); // first: what is half replaced must not look whole
            Folders.delete(target);
            Folders.make(part);
            for (Entry entry : entries) {
                copy(entry, new File(part, entry.file));
            }
            Folders.rename(part, target);
            try (OutputStream out = new FileOutputStream(marker)) {
                out.write(mark.toString().getBytes(StandardCharsets.UTF_8));
            }
        } catch (IOException error) {
            Folders.deleteQuietly(part);
            throw new EdgePoseException(EdgePoseException.Code.IO,
                    "the bundle \"" + bundle + "\" cannot be installed: "
                    + error.getMessage(), "check the free space of the device", error);
        } catch (EdgePoseException error) {
            Folders.deleteQuietly(part);
            throw error;
        }
        return target;
    }

    /** By lengths: reading all files at each start would take too long, and the runtime checks what it opens. */
    private static boolean isWhole(List<Entry> entries, File target) {
        for (Entry entry : entries) {
            File file = new File(target, entry.file);
            if (!file.isFile() || file.length() != entry.bytes) {
                return false;
            }
        }
        return true;
    }

    private List<Entry> index() {
        List<Entry> entries = new ArrayList<>();
        try (BufferedReader reader =
                new BufferedReader(new InputStreamReader(source.open(INDEX), StandardCharsets.UTF_8))) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                if (!line.isEmpty()) {
                    entries.add(entry(line));
                }
            }
        } catch (IOException error) {
            throw new EdgePoseException(EdgePoseException.Code.IO,
                    "the app's list of bundles cannot be read: "
                    + error.getMessage(), "put bundles into the app with: edgepose android install", error);
        }
        return entries;
    }

    private static Entry entry(String line) {
        String[] parts = line.split(" ", 3);
        String[] path = parts.length == 3 ? parts[2].split("/", -1) : new String[0];
        try {
            boolean named = path.length == 2 && Folders.isName(path[0]) && Folders.isName(path[1]);
            if (named && parts[0].matches("[0-9a-f]{64}")) {
                return new Entry(parts[0], Long.parseLong(parts[1]), path[0], path[1]);
            }
        } catch (NumberFormatException ignored) {
            // The line is reported below.
        }
        throw new EdgePoseException(EdgePoseException.Code.INVALID_BUNDLE,
                "the app's list of bundles has a wrong line: " + line,
                "write it with: edgepose android install", null);
    }

    private void copy(Entry entry, File target) throws IOException {
        String name = entry.bundle + "/" + entry.file;
        MessageDigest digest = sha256();
        long bytes = 0;
        try (InputStream in = source.open(name); OutputStream out = new FileOutputStream(target)) {
            byte[] buffer = new byte[1 << 16];
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                digest.update(buffer, 0, count);
                out.write(buffer, 0, count);
                bytes += count;
            }
        }
        StringBuilder hex = new StringBuilder();
        for (byte b : digest.digest()) {
            hex.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        if (bytes != entry.bytes || !entry.sha256.contentEquals(hex)) {
            throw new EdgePoseException(EdgePoseException.Code.CHECKSUM_MISMATCH,
                    "the file " + name + " in the app is damaged: "
                    + bytes + " bytes, SHA-256 " + hex, "build and install the app again", null);
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java platform has SHA-256", error);
        }
    }

    /** The contents of a file, or nothing where it cannot be read. */
    private static String read(File file) {
        try (InputStream in = new FileInputStream(file)) {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            byte[] buffer = new byte[4096];
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                all.write(buffer, 0, count);
            }
            return new String(all.toByteArray(), StandardCharsets.UTF_8);
        } catch (IOException absent) {
            return "";
        }
    }
}
