package dev.edgepose;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Random;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.function.Executable;

/** What the tests share: the committed bundles, noise, and what a failure must look like. */
final class Bundles {
    static final String[] ALL = {"top_down", "detect", "pose", "pose_3d", "one_stage"};

    private Bundles() {}

    static String path(String name) {
        return System.getProperty("edgepose.tests") + "/bundles/v1/" + name;
    }

    static String manifest(Path bundle) throws IOException {
        return new String(Files.readAllBytes(bundle.resolve("bundle.json")), StandardCharsets.UTF_8);
    }

    /** A copy of a bundle, its bundle.json edited and signed again. */
    static Path edited(String name, Path folder, UnaryOperator<String> edit)
            throws IOException, NoSuchAlgorithmException {
        Path copy = Files.createDirectory(folder.resolve(name));
        Path original = Paths.get(path(name));
        for (String file : original.toFile().list()) {
            Files.copy(original.resolve(file), copy.resolve(file));
        }
        String before = manifest(original);
        String edited = edit.apply(before);
        assertFalse(edited.equals(before), "the edit found nothing");
        // The checksum is that of the text with its own digits zeroed.
        String unsigned = edited.replaceFirst("(\"manifest_sha256\": \")[0-9a-f]{64}", "$1" + zeros());
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(unsigned.getBytes(StandardCharsets.UTF_8));
        String signed = unsigned.replace(zeros(), String.format("%064x", new BigInteger(1, digest)));
        Files.write(copy.resolve("bundle.json"), signed.getBytes(StandardCharsets.UTF_8));
        return copy;
    }

    private static String zeros() {
        return new String(new char[64]).replace('\0', '0');
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

    /** Every number of every person. */
    static float[] values(PoseFrame frame) {
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

    static EdgePoseException assertFails(EdgePoseException.Code code, Executable body) {
        EdgePoseException error = assertThrows(EdgePoseException.class, body);
        assertEquals(code, error.code(), error.getMessage());
        assertFalse(error.getMessage().isEmpty());
        return error;
    }
}
