package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgepose.EdgePoseException.Code;
import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PoseSessionTest {
    private static float[] values(PoseFrame frame) {
        int points = frame.keypointCount();
        float[] all = new float[frame.personCount() * (points * 4 + 6)];
        int at = 0;
        for (int p = 0; p < frame.personCount(); p++) {
            all[at++] = frame.boxX1Px(p);
            all[at++] = frame.boxY1Px(p);
            all[at++] = frame.boxX2Px(p);
            all[at++] = frame.boxY2Px(p);
            all[at++] = frame.boxScore(p);
            all[at++] = frame.trackId(p);
            for (int k = 0; k < points; k++) {
                all[at++] = frame.xPx(p, k);
                all[at++] = frame.yPx(p, k);
                all[at++] = frame.score(p, k);
                all[at++] = frame.z(p, k);
            }
        }
        return all;
    }

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
    void colourOrdersOfOnePictureAgree() {
        ByteBuffer bgr = Bundles.noise(64 * 48 * 3, 4);
        ByteBuffer rgba = ByteBuffer.allocateDirect(64 * 48 * 4);
        for (int i = 0; i < 64 * 48; i++) {
            rgba.put(bgr.get(3 * i + 2)).put(bgr.get(3 * i + 1)).put(bgr.get(3 * i)).put((byte) 255);
        }
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            float[] expected = values(session.process(new CameraFrame().bgr(bgr, 64, 48, 64 * 3)));
            float[] found = values(session.process(new CameraFrame().rgba(rgba, 64, 48, 64 * 4)));
            assertArrayEquals(expected, found);
        }
    }

    @Test
    void interleavedPlanesOfYuvAgreeWithNv12AndNv21() {
        ByteBuffer y = Bundles.noise(64 * 48, 1);
        ByteBuffer chroma = Bundles.noise(64 * 24, 2);
        chroma.position(0);
        ByteBuffer first = chroma.slice();
        chroma.position(1);
        ByteBuffer second = chroma.slice();
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            float[] nv12 = values(session.process(new CameraFrame().nv12(y, chroma, 64, 48, 64, 64)));
            float[] planes = values(session.process(
                    new CameraFrame().yuv420(y, first, second, 64, 48, 64, 64, 2)));
            assertArrayEquals(nv12, planes);
            float[] nv21 = values(session.process(new CameraFrame().nv21(y, chroma, 64, 48, 64, 64)));
            float[] swapped = values(session.process(
                    new CameraFrame().yuv420(y, second, first, 64, 48, 64, 64, 2)));
            assertArrayEquals(nv21, swapped);
        }
    }

    @Test
    void aQuarterTurnSwapsTheSides() {
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            CameraFrame picture = Bundles.bgrNoise(64, 48, 1);
            float[] plain = values(session.process(picture));
            PoseFrame turned = session.process(picture.rotation(90));
            assertEquals(48, turned.widthPx());
            assertEquals(64, turned.heightPx());
            assertNotEquals(plain[6], values(turned)[6]);
            assertArrayEquals(plain, values(session.process(picture.rotation(0))));
            assertFalse(java.util.Arrays.equals(plain, values(session.process(picture.mirrored(true)))));
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
    }

    @Test
    void picturesThatCannotBeReadAreRefused() {
        ByteBuffer y = Bundles.noise(64 * 48, 1);
        ByteBuffer u = Bundles.noise(32 * 24, 2);
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            CameraFrame[] wrong = {
                new CameraFrame(),
                new CameraFrame().bgr(null, 64, 48, 192),
                new CameraFrame().bgr(ByteBuffer.allocate(64 * 48 * 3), 64, 48, 192),
                new CameraFrame().bgr(ByteBuffer.allocateDirect(0), 64, 48, 192),
                new CameraFrame().bgr(y, 64, 48, 192),
                new CameraFrame().rgba(y, 0, 48, 192),
                new CameraFrame().rgba(y, 8, -48, 192),
                new CameraFrame().rgba(y, 8, 8, -32),
                new CameraFrame().yuv420(y, u, null, 64, 48, 64, 32, 1),
                new CameraFrame().yuv420(y, u, u, 64, 50, 64, 32, 1),
                new CameraFrame().yuv420(y, u, u, 64, 48, -64, 32, 1),
                new CameraFrame().yuv420(y, u, u, 64, 48, 64, -32, 1),
                new CameraFrame().yuv420(y, u, u, 64, 48, 64, 64, 2),
                new CameraFrame().yuv420(y, u, u, 64, 48, 64, 32, 0),
                new CameraFrame().yuv420(y, u, u, 64, 48, Integer.MAX_VALUE, 32, 1),
                new CameraFrame().nv12(y, u, 64, 48, 64, 64),
                new CameraFrame().nv21(y, null, 64, 48, 64, 64),
                new CameraFrame().yuv420(y, u, u, 64, 48, 64, 32, 1).rotation(45),
            };
            for (int i = 0; i < wrong.length; i++) {
                CameraFrame picture = wrong[i];
                EdgePoseException error = assertFails(Code.INVALID_ARGUMENT, () -> session.process(picture));
                assertFalse(error.hint().isEmpty(), i + ": " + error.getMessage());
            }
            session.process(new CameraFrame().yuv420(y, u, u, 64, 48, 64, 32, 1));
        }
    }

    @Test
    void bundlesThatCannotBeOpenedAreRefused(@TempDir Path folder) throws IOException {
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(null, 1));
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open("a\0b", 1));
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(Bundles.path("pose"), 0));
        SessionOptions[] wrong = {
            new SessionOptions().maxPersons(0),
            new SessionOptions().device(null),
            new SessionOptions().smooth(true),
            new SessionOptions().detectEvery(5),
            new SessionOptions().track(true).detectEvery(0),
            new SessionOptions().detectDelay(1),
            new SessionOptions().track(true).detectDelay(2),
        };
        for (SessionOptions options : wrong) {
            assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(Bundles.path("top_down"), options));
        }
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
    void aLibraryOfAnotherVersionIsNamed() {
        assertNull(Native.mismatch(Native.interfaceVersion(), Native.libraryVersion()));
        assertTrue(Native.mismatch(99, Native.VERSION).contains("interface 99"));
        assertTrue(Native.mismatch(Native.interfaceVersion(), "9.9.9").contains("9.9.9"));
    }
}
