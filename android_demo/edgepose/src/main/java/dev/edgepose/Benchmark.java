package dev.edgepose;

import androidx.annotation.NonNull;
import androidx.annotation.Nullable;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Measures a bundle inside an app and writes the result document of {@code edgepose bench} (docs/devices.md), which
 * {@code edgepose bench compare} and {@code edgepose report} read. What an app measures includes what else the app
 * and its system do: to compare devices rather use {@code edgepose bench} with the phone on the cable.
 */
public final class Benchmark {
    /** The members of a device that every result has. */
    public static final String NAME = "name";

    public static final String TITLE = "title";

    /** Learns about a run some times a second, on the thread that runs it. */
    public interface Listener {
        /**
         * @param phase "warmup", "burst", "persons-2", ... "paced"
         * @param frames how many this phase has so far
         * @return false to end the run; its result is INVALID then
         */
        boolean onProgress(@NonNull String phase, long frames);
    }

    private Benchmark() {}

    /**
     * Loads the bundle, checks its golden picture, warms up and measures: about two minutes, a few seconds with
     * {@code quick} (INVALID as a measurement). Call it on a thread of its own, with no session at work.
     *
     * @param device facts of the device, among them {@link #NAME} and {@link #TITLE}
     * @param result the file to write; complete or not at all
     * @return the result in a few lines of text
     * @throws EdgePoseException as {@link PoseSession#open}; INVALID_ARGUMENT (no name of the device, a fact that is
     *     null or holds a NUL), IO (told before the measurement where the file cannot be written)
     */
    @NonNull
    public static String run(
            @NonNull String bundleFolder,
            int threads,
            boolean quick,
            @NonNull Map<String, String> device,
            @NonNull File result,
            @Nullable Listener listener) {
        for (String needed : new String[] {NAME, TITLE}) {
            String value = device.get(needed);
            if (value == null || value.isEmpty()) {
                throw new EdgePoseException(EdgePoseException.Code.INVALID_ARGUMENT,
                        "the device has no " + needed, "put the member \"" + needed + "\" into the map", null);
            }
        }
        List<String> pairs = new ArrayList<>();
        for (Map.Entry<String, String> fact : device.entrySet()) {
            // The library would say so, too, but after minutes of measuring.
            requireText(fact.getKey(), fact.getKey());
            requireText(fact.getKey(), fact.getValue());
            pairs.add(fact.getKey());
            pairs.add(fact.getValue());
        }
        Native.require();
        requireWritable(result.getAbsoluteFile());
        String plan = Native.benchPlan(bundleFolder, threads, quick);
        String journal = Native.benchRun(bundleFolder, plan, listener);
        String[] texts = Native.benchResult(bundleFolder, plan, journal, pairs.toArray(new String[0]));
        write(result.getAbsoluteFile(), texts[0] + "\n");
        return texts[1];
    }

    private static void requireText(String fact, String text) {
        if (text == null || text.indexOf('\0') >= 0) {
            throw new EdgePoseException(EdgePoseException.Code.INVALID_ARGUMENT,
                    "the device has the fact \"" + fact + "\" as " + (text == null ? "null" : "a text with a NUL"),
                    "leave out what is not known", null);
        }
    }

    private static void requireWritable(File whole) {
        File part = part(whole);
        try {
            Folders.make(whole.getParentFile());
            if (whole.isDirectory()) {
                throw new IOException(whole + " is a folder");
            }
            new FileOutputStream(part).close();
            Folders.delete(part);
        } catch (IOException error) {
            throw notWritten(error);
        }
    }

    private static void write(File whole, String text) {
        File part = part(whole);
        try {
            Folders.make(whole.getParentFile());
            try (OutputStream out = new FileOutputStream(part)) {
                out.write(text.getBytes(StandardCharsets.UTF_8));
            }
            Folders.rename(part, whole);
        } catch (IOException error) {
            Folders.deleteQuietly(part);
            throw notWritten(error);
        }
    }

    private static File part(File whole) {
        return new File(whole.getParentFile(), "." + whole.getName() + ".part");
    }

    private static EdgePoseException notWritten(IOException error) {
        return new EdgePoseException(EdgePoseException.Code.IO, "the result cannot be written: "
                + error.getMessage(), "check the folder and the free space of the device", error);
    }
}
