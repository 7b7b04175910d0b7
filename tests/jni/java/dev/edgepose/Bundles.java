package dev.edgepose;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.function.Executable;

/** What the tests share: the committed bundles, noise, and what a failure must look like. */
final class Bundles {
    static final String[] ALL = {"top_down", "detect", "pose", "pose_3d", "one_stage"};

    private Bundles() {}

    static String path(String name) {
        return System.getProperty("edgepose.tests") + "/bundles/v1/" + name;
    }

    static ByteBuffer noise(int bytes, int seed) {
        byte[] values = new byte[bytes];
        new Random(seed).nextBytes(values);
        ByteBuffer buffer = ByteBuffer.allocateDirect(bytes);
        buffer.put(values);
        return buffer;
    }

    static CameraFrame bgrNoise(int width, int height, int seed) {
        return new CameraFrame().bgr(noise(width * height * 3, seed), width, height, width * 3);
    }

    static EdgePoseException assertFails(EdgePoseException.Code code, Executable body) {
        EdgePoseException error = assertThrows(EdgePoseException.class, body);
        assertEquals(code, error.code(), error.getMessage());
        assertFalse(error.getMessage().isEmpty());
        return error;
    }
}
