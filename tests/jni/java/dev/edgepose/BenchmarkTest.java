package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.edgepose.EdgePoseException.Code;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BenchmarkTest {
    @TempDir
    Path folder;

    static Map<String, String> device() {
        Map<String, String> device = new LinkedHashMap<>();
        device.put(Benchmark.NAME, "desktop");
        device.put(Benchmark.TITLE, "A desktop JVM \uD83D\uDE00");
        device.put("android", "none");
        return device;
    }

    @Test
    void aRunIsWrittenAndToldAbout() throws IOException {
        File result = folder.resolve("new/result.json").toFile();
        Map<String, Long> phases = new LinkedHashMap<>();
        String text = Benchmark.run(Bundles.path("top_down"), 1, true, device(), result, (phase, frames) -> {
            assertTrue(frames > phases.getOrDefault(phase, 0L), phase + ": " + frames);
            phases.put(phase, frames);
            return true;
        });
        assertEquals(Arrays.asList("warmup", "burst"), new ArrayList<>(phases.keySet()));
        // An emulated processor has no times to show.
        String first = Boolean.getBoolean("edgepose.emulated") ? "EMULATED: " : "burst: median ";
        assertTrue(text.startsWith(first) && text.contains("INVALID, short: "), text);
        assertArrayEquals(new String[] {"result.json"}, result.getParentFile().list());
        String document = new String(Files.readAllBytes(result.toPath()), StandardCharsets.UTF_8);
        assertTrue(document.startsWith("{\"format\":\"edgepose-bench-result\",\"format_version\":1,"), document);
        assertTrue(document.contains("\"frames\":" + phases.get("burst") + ","), phases + ": " + document);
        assertTrue(document.contains("\"title\":\"A desktop JVM \uD83D\uDE00\""));
    }

    @Test
    void aListenerEndsTheRun() {
        File result = folder.resolve("stopped.json").toFile();
        String text = Benchmark.run(Bundles.path("pose"), 1, true, device(), result, (phase, frames) -> false);
        assertTrue(text.contains("INVALID, incomplete: the run ended early: it was stopped"), text);
        assertTrue(result.exists());
        File broken = folder.resolve("broken.json").toFile();
        IllegalStateException error = assertThrows(
                IllegalStateException.class,
                () -> Benchmark.run(Bundles.path("pose"), 1, true, device(), broken, (phase, frames) -> {
                    throw new IllegalStateException("mine");
                }));
        assertEquals("mine", error.getMessage());
        assertFalse(broken.exists());
    }

    @Test
    void whatCannotBeMeasuredIsNamed() throws IOException {
        File result = folder.resolve("r.json").toFile();
        assertFails(
                Code.INVALID_ARGUMENT,
                () -> Benchmark.run(Bundles.path("pose"), 0, true, device(), result, null));
        assertFails(
                Code.INVALID_ARGUMENT,
                () -> Benchmark.run(Bundles.path("pose"), 1, true, Collections.emptyMap(), result, null));
        for (String title : new String[] {null, ""}) {
            Map<String, String> untitled = device();
            untitled.put(Benchmark.TITLE, title);
            EdgePoseException error = assertFails(
                    Code.INVALID_ARGUMENT,
                    () -> Benchmark.run(Bundles.path("pose"), 1, true, untitled, result, null));
            assertTrue(error.getMessage().contains("no title"), error.getMessage());
        }
        assertFails(Code.IO, () -> Benchmark.run(folder + "/absent", 1, true, device(), result, null));
        assertFalse(result.exists());
    }

    @Test
    void whatCannotBeWrittenIsToldBeforeTheMeasurement() throws IOException {
        Benchmark.Listener never = (phase, frames) -> fail("it measured before it looked");
        File result = folder.resolve("r.json").toFile();
        for (String text : new String[] {null, "a\0b"}) {
            Map<String, String> valued = device();
            valued.put("android", text);
            Map<String, String> keyed = device();
            keyed.put(text, "none");
            for (Map<String, String> facts : Arrays.asList(valued, keyed)) {
                assertFails(
                        Code.INVALID_ARGUMENT,
                        () -> Benchmark.run(Bundles.path("pose"), 1, true, facts, result, never));
            }
        }
        assertArrayEquals(new String[0], folder.toFile().list());
        File below = new File(Files.createFile(folder.resolve("file")).toFile(), "r.json");
        assertFails(Code.IO, () -> Benchmark.run(Bundles.path("pose"), 1, true, device(), below, never));
        File taken = Files.createDirectories(folder.resolve("taken/r.json/more")).getParent().toFile();
        assertFails(Code.IO, () -> Benchmark.run(Bundles.path("pose"), 1, true, device(), taken, never));
        assertArrayEquals(new String[] {"r.json"}, taken.getParentFile().list());
    }

    @Test
    void aResultThatCanNoLongerBeWrittenLeavesNothing() throws IOException {
        File taken = folder.resolve("r.json").toFile();
        assertFails(Code.IO, () -> Benchmark.run(Bundles.path("pose"), 1, true, device(), taken, (phase, frames) -> {
            assertTrue(new File(taken, "more").mkdirs() || taken.isDirectory());
            return false;
        }));
        assertArrayEquals(new String[] {"r.json"}, folder.toFile().list());
        assertArrayEquals(new String[] {"more"}, taken.list());
    }

    @Test
    void journalsThatNoRunWroteAreRefused() {
        String bundle = Bundles.path("pose");
        String plan = Native.benchPlan(bundle, 1, true);
        for (String journal : new String[] {
            "", "x", "[]", "{}", "{\"event\":\"start\"}", "{\"event\":\"end\"}", "{\"event\":\"party\"}",
            "{\"event\":5}"
        }) {
            assertFails(Code.INVALID_ARGUMENT, () -> Native.benchResult(bundle, plan, journal, null));
        }
        String other = Native.benchRun(Bundles.path("detect"), plan, (phase, frames) -> false);
        EdgePoseException error =
                assertFails(Code.INVALID_ARGUMENT, () -> Native.benchResult(bundle, plan, other, null));
        assertTrue(error.getMessage().contains("another bundle"));
        assertFails(Code.INVALID_ARGUMENT, () -> Native.benchResult(Bundles.path("detect"), "{}", other, null));
        String noThreads = plan.replace("\"threads\":1", "\"threads\":0");
        assertFails(Code.INVALID_ARGUMENT, () -> Native.benchRun(bundle, noThreads, null));
        String[] nulls = {"name", null};
        assertFails(Code.INVALID_ARGUMENT, () -> Native.benchResult(bundle, plan, other, nulls));
    }
}
