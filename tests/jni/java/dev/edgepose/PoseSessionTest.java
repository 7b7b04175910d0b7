package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static dev.edgepose.Bundles.values;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgepose.EdgePoseException.Code;
import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PoseSessionTest {
    @Test
    void everyKindOfBundleIsOpenedVerifiedAndRun() {
        for (String name : Bundles.ALL) {
            try (PoseSession session = PoseSession.open(Bundles.path(name), 1)) {
                assertTrue(session.verify(), name);
                assertEquals("fake", session.backend());
                assertEquals(64, session.digest().length());
                PoseFrame frame = session.process(Bundles.bgrNoise(64, 48, 1));
                assertEquals(64, frame.widthPx());
                assertEquals(48, frame.heightPx());
                assertEquals(session.keypointNames().length, frame.keypointCount());
                assertEquals(name.equals("pose_3d"), frame.hasZ());
                assertEquals(frame.personCount(), frame.personsFound());
                assertTrue(frame.stageMs(PoseFrame.Stage.TOTAL) > 0);
                for (float value : values(frame)) {
                    assertTrue(Float.isFinite(value));
                }
                if (!name.equals("detect") && !name.equals("top_down")) {
                    assertTrue(frame.keypointCount() > 0, name);
                }
                for (int end : session.skeleton()) {
                    assertTrue(end >= 0 && end < session.keypointNames().length);
                }
            }
        }
    }

    @Test
    void aSessionTellsWhatItsBundleSays() throws IOException {
        try (PoseSession session = PoseSession.open(Bundles.path("top_down"), 1)) {
            assertEquals("top_down", session.name());
            assertEquals("fp32", session.precision());
            String digest = "\"manifest_sha256\": \"" + session.digest() + "\"";
            assertTrue(Bundles.manifest(Paths.get(Bundles.path("top_down"))).contains(digest));
            assertArrayEquals(new String[] {"nose", "left_eye", "right_eye"}, session.keypointNames());
            assertArrayEquals(new int[] {0, 1, 0, 2}, session.skeleton());
            assertEquals(0.3F, session.keypointThreshold());
            session.keypointNames()[0] = "mine";
            session.skeleton()[0] = 9;
            assertEquals("nose", session.keypointNames()[0]);
            assertEquals(0, session.skeleton()[0]);
        }
    }

    @Test
    void aBundleThatGivesOtherResultsThanItShouldIsNotVerified(@TempDir Path folder) throws Exception {
        // Poses of another box, that is; checksums and all else are right.
        Path bundle = Bundles.edited("pose", folder, text -> text.replaceFirst("4\\.0,(\\s+)2\\.0,", "7.0,$12.0,"));
        try (PoseSession session = PoseSession.open(bundle.toString(), 1)) {
            assertFalse(session.verify());
        }
    }

    @Test
    void timesAreMillisecondsOfTheStagesThatRan() {
        for (String name : new String[] {"detect", "pose"}) {
            try (PoseSession session = PoseSession.open(Bundles.path(name), 1)) {
                long start = System.nanoTime();
                PoseFrame frame = session.process(Bundles.bgrNoise(640, 480, 1));
                double aroundMs = (System.nanoTime() - start) * 1e-6;
                float sumMs = 0;
                for (PoseFrame.Stage stage : PoseFrame.Stage.values()) {
                    boolean total = stage == PoseFrame.Stage.TOTAL;
                    boolean ran = total || stage.name().startsWith("DETECTOR") == name.equals("detect");
                    assertEquals(ran, frame.stageMs(stage) > 0, name + ": " + stage);
                    sumMs += total ? 0 : frame.stageMs(stage);
                }
                float totalMs = frame.stageMs(PoseFrame.Stage.TOTAL);
                assertTrue(sumMs <= totalMs * 1.001 && totalMs <= aroundMs, sumMs + ", " + totalMs + ", " + aroundMs);
            }
        }
    }

    @Test
    void aFrameIsReusedAndACopyIsKept() {
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            PoseFrame first = session.process(Bundles.bgrNoise(64, 48, 1));
            PoseFrame kept = first.copy();
            float[] before = values(first);
            assertSame(first, session.process(Bundles.bgrNoise(64, 48, 2)));
            assertFalse(java.util.Arrays.equals(before, values(first)));
            assertArrayEquals(before, values(kept));
            assertThrows(IndexOutOfBoundsException.class, () -> kept.xPx(1, 0));
            assertThrows(IndexOutOfBoundsException.class, () -> kept.xPx(0, 999));
        }
    }

    @Test
    void whatLiesBesideAPersonsNumbersIsNotRead() {
        try (PoseSession session = PoseSession.open(Bundles.path("top_down"), 1)) {
            PoseFrame frame = session.process(Bundles.bgrNoise(64, 48, 1));
            assertTrue(frame.personCount() > 1);
            int points = frame.keypointCount();
            assertThrows(IndexOutOfBoundsException.class, () -> frame.xPx(0, points)); // the next person's box
            assertThrows(IndexOutOfBoundsException.class, () -> frame.xPx(1, -1));
            assertThrows(IndexOutOfBoundsException.class, () -> frame.boxX1Px(-1));
            assertThrows(IndexOutOfBoundsException.class, () -> frame.boxX1Px(frame.personCount()));
        }
    }

    @Test
    void personsBeyondTheLimitAreCounted() {
        try (PoseSession many = PoseSession.open(Bundles.path("detect"), 1);
                PoseSession one = PoseSession.open(Bundles.path("detect"), new SessionOptions().maxPersons(1))) {
            int most = 0;
            for (int seed = 0; seed < 6; seed++) {
                int found = many.process(Bundles.bgrNoise(64, 48, seed)).personCount();
                PoseFrame cut = one.process(Bundles.bgrNoise(64, 48, seed));
                assertEquals(found, cut.personsFound());
                assertEquals(Math.min(1, found), cut.personCount());
                most = Math.max(most, found);
            }
            assertTrue(most > 1, "no picture had two persons");
        }
    }

    @Test
    void nothingIsAllocatedPerFrame() {
        com.sun.management.ThreadMXBean threads =
                (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
        long self = Thread.currentThread().getId();
        try (PoseSession session = PoseSession.open(Bundles.path("one_stage"), 1)) {
            CameraFrame picture = Bundles.bgrNoise(64, 48, 1);
            float sum = 0;
            long before = 0;
            for (int i = 0; i < 200; i++) {
                if (i == 100) {
                    before = threads.getThreadAllocatedBytes(self);
                }
                PoseFrame frame = session.process(picture);
                for (int p = 0; p < frame.personCount(); p++) {
                    sum += frame.xPx(p, 0);
                }
            }
            long bytes = threads.getThreadAllocatedBytes(self) - before;
            assertTrue(bytes < 1000, bytes + " bytes for 100 frames, sum " + sum);
        }
    }

    @Test
    void aClosedSessionThrows() {
        PoseSession session = PoseSession.open(Bundles.path("pose"), 1);
        session.close();
        session.close();
        EdgePoseException error =
                assertFails(Code.INVALID_ARGUMENT, () -> session.process(Bundles.bgrNoise(64, 48, 1)));
        assertTrue(error.getMessage().contains("closed"));
        assertFalse(error.hint().isEmpty());
        assertFails(Code.INVALID_ARGUMENT, session::reset);
        assertFails(Code.INVALID_ARGUMENT, session::verify);
        long handle = Native.open(Bundles.path("pose"), 1, "CPU", false, false, 1, 0);
        Native.facts(handle);
        Native.close(handle);
        assertFails(Code.INVALID_ARGUMENT, () -> Native.facts(handle)); // the library has let go of it, too
    }

    @Test
    void bundlesThatCannotBeOpenedAreRefused(@TempDir Path folder) throws IOException {
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(null, 1));
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open("a\0b", 1));
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(Bundles.path("pose"), 0));
        SessionOptions[] wrong = {
            new SessionOptions().maxPersons(0),
            new SessionOptions().maxPersons(1025),
            new SessionOptions().device(null),
        };
        for (SessionOptions options : wrong) {
            assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(Bundles.path("top_down"), options));
        }
        SessionOptions elsewhere = new SessionOptions().device("NO_SUCH_DEVICE");
        assertFails(Code.UNSUPPORTED, () -> PoseSession.open(Bundles.path("top_down"), elsewhere));
        EdgePoseException absent = assertThrows(
                EdgePoseException.class, () -> PoseSession.open(folder + "/\uD83D\uDE00 caf\u00E9", 1));
        assertTrue(absent.getMessage().contains("\uD83D\uDE00 caf\u00E9"), absent.getMessage());
        Path copy = Files.createDirectory(folder.resolve("copy"));
        for (File file : new File(Bundles.path("pose")).listFiles()) {
            Files.copy(file.toPath(), copy.resolve(file.getName()));
        }
        PoseSession.open(copy.toString(), 1).close();
        Path model = copy.resolve("tiny-pose.fake");
        byte[] bytes = Files.readAllBytes(model);
        bytes[0] ^= 1;
        Files.write(model, bytes);
        assertFails(Code.CHECKSUM_MISMATCH, () -> PoseSession.open(copy.toString(), 1));
        Files.delete(model);
        assertFails(Code.INVALID_BUNDLE, () -> PoseSession.open(copy.toString(), 1));
    }

    @Test
    void aSecondThreadGetsAnExceptionAndCloseIsSafe() throws InterruptedException {
        PoseSession session = PoseSession.open(Bundles.path("one_stage"), 1);
        AtomicInteger unexpected = new AtomicInteger();
        Thread[] threads = new Thread[3];
        for (int t = 0; t < threads.length; t++) {
            CameraFrame picture = Bundles.bgrNoise(640, 480, t);
            threads[t] = new Thread(() -> {
                for (int i = 0; i < 300; i++) {
                    try {
                        session.process(picture);
                    } catch (EdgePoseException error) {
                        if (error.code() != Code.INVALID_ARGUMENT) {
                            unexpected.incrementAndGet();
                        }
                    }
                }
            });
            threads[t].start();
        }
        Thread.sleep(100);
        session.close();
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(0, unexpected.get());
    }

    @Test
    void aSecondThreadDoesNotWaitForTheFirst() throws InterruptedException {
        AtomicBoolean done = new AtomicBoolean();
        try (PoseSession session = PoseSession.open(Bundles.path("one_stage"), 1)) {
            Runnable work = () -> {
                CameraFrame picture = Bundles.bgrNoise(640, 480, 1);
                while (!done.get()) {
                    try {
                        session.process(picture);
                    } catch (EdgePoseException error) {
                        done.set(error.getMessage().contains("the session is in use by another thread"));
                    }
                }
            };
            Thread[] threads = {new Thread(work), new Thread(work)};
            for (Thread thread : threads) {
                thread.start();
            }
            for (Thread thread : threads) {
                thread.join(20_000); // a part of a second, where nothing is wrong
            }
            assertTrue(done.getAndSet(true), "both threads worked, none was refused");
        }
    }

    @Test
    void aFailureWithoutACodeIsInternal() {
        int codes = Code.values().length;
        assertSame(Code.IO, new EdgePoseException(Code.IO.number(), "full", "").code());
        for (int number : new int[] {-1, codes, Integer.MAX_VALUE}) {
            EdgePoseException error = new EdgePoseException(number, "unheard of", null);
            assertSame(Code.INTERNAL, error.code());
            assertEquals("", error.hint());
        }
    }

    @Test
    void aLibraryOfAnotherVersionIsNamed() {
        assertNull(Native.mismatch(Native.interfaceVersion(), Native.libraryVersion()));
        assertTrue(Native.mismatch(99, Native.VERSION).contains("interface 99"));
        assertTrue(Native.mismatch(Native.interfaceVersion(), "9.9.9").contains("9.9.9"));
    }
}
