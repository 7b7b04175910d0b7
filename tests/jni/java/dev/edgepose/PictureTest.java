package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static dev.edgepose.Bundles.values;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.edgepose.EdgePoseException.Code;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Where the pixels of a picture lie, and how it is turned. */
class PictureTest {
    @Test
    void colourOrdersOfOnePictureAgree() {
        ByteBuffer bgr = Bundles.noise(64 * 48 * 3, 4);
        ByteBuffer rgb = ByteBuffer.allocateDirect(64 * 48 * 3);
        ByteBuffer rgba = ByteBuffer.allocateDirect(64 * 48 * 4);
        for (int i = 0; i < 64 * 48; i++) {
            rgb.put(bgr.get(3 * i + 2)).put(bgr.get(3 * i + 1)).put(bgr.get(3 * i));
            rgba.put(bgr.get(3 * i + 2)).put(bgr.get(3 * i + 1)).put(bgr.get(3 * i)).put((byte) 255);
        }
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            float[] expected = values(session.process(new CameraFrame().bgr(bgr, 64, 48, 64 * 3)));
            float[] found = values(session.process(new CameraFrame().rgba(rgba, 64, 48, 64 * 4)));
            assertArrayEquals(expected, found);
            assertArrayEquals(expected, values(session.process(new CameraFrame().rgb(rgb, 64, 48, 64 * 3))));
        }
    }

    @Test
    void bytesBetweenTheRowsAreSkipped() {
        CameraFrame tight = Bundles.bgrNoise(64, 48, 1);
        ByteBuffer padded = Bundles.noise(200 * 48, 2);
        for (int row = 0; row < 48; row++) {
            for (int i = 0; i < 64 * 3; i++) {
                padded.put(200 * row + i, tight.data.get(64 * 3 * row + i));
            }
        }
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            float[] expected = values(session.process(tight));
            assertArrayEquals(expected, values(session.process(new CameraFrame().bgr(padded, 64, 48, 200))));
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
    void everyColourStandardIsAnother() {
        CameraFrame picture = new CameraFrame()
                .nv12(Bundles.noise(64 * 48, 1), Bundles.noise(64 * 24, 2), 64, 48, 64, 64);
        try (PoseSession session = PoseSession.open(Bundles.path("one_stage"), 1)) {
            Set<String> results = new HashSet<>();
            for (CameraFrame.Colour colour : CameraFrame.Colour.values()) {
                results.add(Arrays.toString(values(session.process(picture.colour(colour)))));
            }
            assertEquals(3, results.size());
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
            assertFalse(Arrays.equals(plain, values(session.process(picture.mirrored(true)))));
        }
    }

    @Test
    void aPictureIsTurnedClockwiseThenMirrored() {
        ByteBuffer lying = Bundles.noise(64 * 48 * 3, 1);
        try (PoseSession session = PoseSession.open(Bundles.path("pose"), 1)) {
            for (int degrees = 0; degrees < 360; degrees += 90) {
                for (boolean mirrored : new boolean[] {false, true}) {
                    int width = degrees % 180 == 0 ? 64 : 48;
                    int height = degrees % 180 == 0 ? 48 : 64;
                    ByteBuffer upright = ByteBuffer.allocateDirect(64 * 48 * 3);
                    for (int y = 0; y < height; y++) {
                        for (int column = 0; column < width; column++) {
                            int x = mirrored ? width - 1 - column : column;
                            int from = degrees == 0 ? y * 64 + x
                                    : degrees == 90 ? (47 - x) * 64 + y
                                    : degrees == 180 ? (47 - y) * 64 + 63 - x
                                    : x * 64 + 63 - y;
                            for (int channel = 0; channel < 3; channel++) {
                                upright.put(lying.get(3 * from + channel));
                            }
                        }
                    }
                    float[] expected =
                            values(session.process(new CameraFrame().bgr(upright, width, height, width * 3)));
                    CameraFrame turned =
                            new CameraFrame().bgr(lying, 64, 48, 64 * 3).rotation(degrees).mirrored(mirrored);
                    assertArrayEquals(expected, values(session.process(turned)), degrees + " " + mirrored);
                }
            }
        }
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
}
