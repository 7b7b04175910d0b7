package dev.edgepose;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Random arguments straight into the native methods: exceptions, never a crash, and flat memory. */
class FuzzTest {
    private static final int CALLS = Integer.getInteger("edgepose.fuzz", 100_000);
    private static final int[] NUMBERS = {
        0, 1, -1, 2, 3, 16, 32, 48, 63, 64, 65, 90, 128, 180, 192, 270, 32767, 32768, 65536, 1 << 30,
        Integer.MAX_VALUE, Integer.MIN_VALUE
    };

    private final Random random = new Random(20260731);
    private int opened;

    private int number() {
        return random.nextInt(4) == 0 ? random.nextInt() : NUMBERS[random.nextInt(NUMBERS.length)];
    }

    private <T> T one(T[] values) {
        return values[random.nextInt(values.length)];
    }

    private static long residentKb() throws IOException {
        for (String line : Files.readAllLines(Paths.get("/proc/self/status"), StandardCharsets.UTF_8)) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        throw new IOException("no VmRSS");
    }

    @Test
    void randomArgumentsGiveExceptionsOnly() throws IOException {
        Native.require();
        long pose = Native.open(Bundles.path("pose"), 1, "CPU", false, false, 1, 0);
        long detect = Native.open(Bundles.path("detect"), 1, "CPU", false, false, 1, 0);
        Long[] handles = {pose, pose, pose, detect, detect, 0L, -1L, 999L, Long.MAX_VALUE, Long.MIN_VALUE};
        ByteBuffer[] buffers = {
            null,
            ByteBuffer.allocate(64 * 48 * 4),
            ByteBuffer.allocateDirect(0),
            ByteBuffer.allocateDirect(1),
            ByteBuffer.allocateDirect(64),
            Bundles.noise(64 * 24, 1),
            Bundles.noise(64 * 48, 2),
            Bundles.noise(64 * 48 * 4, 3),
            Bundles.noise(64 * 48 * 4, 4),
            Bundles.noise(64 * 48 * 4, 5).asReadOnlyBuffer(),
        };
        ByteBuffer[] results = {
            null, ByteBuffer.allocate(4096), ByteBuffer.allocateDirect(0), ByteBuffer.allocateDirect(63),
            ByteBuffer.allocateDirect(64), ByteBuffer.allocateDirect(67), ByteBuffer.allocateDirect(333),
            ByteBuffer.allocateDirect(8192)
        };
        String[] texts = {
            null, "", "/", "\0", "\uD800", "CPU", "no such folder", Bundles.path("absent"), Bundles.path("pose")
        };
        int succeeded = 0;
        int refused = 0;
        long early = 0;
        for (int i = 0; i < CALLS; i++) {
            if (i == CALLS / 4) {
                early = residentKb();
            }
            try {
                if (random.nextInt(8) != 0) {
                    boolean likely = random.nextInt(3) == 0;
                    Native.process(
                            one(handles), one(buffers), one(buffers), one(buffers),
                            random.nextInt(9) - 1, likely ? 64 : number(), likely ? 48 : number(),
                            likely ? 256 : number(), likely ? 64 : number(), likely ? 1 : number(),
                            random.nextInt(4), likely ? 90 : number(), random.nextBoolean(),
                            random.nextLong(), one(results));
                } else {
                    call(random.nextInt(14), one(handles), texts);
                }
                succeeded++;
            } catch (EdgePoseException expected) {
                refused++;
            }
        }
        long grown = residentKb() - early;
        Native.close(pose);
        Native.close(detect);
        System.out.println(
                "fuzz: " + CALLS + " calls, " + succeeded + " accepted, " + refused + " refused, resident memory "
                        + grown + " kB more than after a quarter of them, " + opened + " sessions opened and closed");
        assertTrue(succeeded > CALLS / 100 && refused > CALLS / 2, succeeded + " and " + refused);
        assertTrue(opened > CALLS / 200, opened + " sessions");
        if (!Boolean.getBoolean("edgepose.asan")) {
            // Measured: up to 1.4 MB, and 13 MB if no session is closed. What an emulator translates counts, too.
            int limitKb = Boolean.getBoolean("edgepose.emulated") ? 32 * 1024 : 4 * 1024;
            assertTrue(grown < limitKb, grown + " kB grown");
        }
    }

    private void call(int which, long handle, String[] texts) {
        switch (which) {
            case 0:
            case 12:
            case 13:
                boolean likely = random.nextBoolean();
                Native.close(Native.open(
                        likely ? Bundles.path("pose") : one(texts),
                        likely ? 1 : number(),
                        likely ? "CPU" : one(texts),
                        !likely && random.nextBoolean(),
                        !likely && random.nextBoolean(),
                        likely ? 1 : number(),
                        likely ? 0 : number()));
                opened++;
                break;
            case 1:
                Native.facts(handle);
                break;
            case 2:
                Native.keypointNames(handle);
                break;
            case 3:
                Native.skeleton(handle);
                break;
            case 4:
                Native.layout(handle);
                break;
            case 5:
                Native.keypointThreshold(handle);
                break;
            case 6:
                Native.reset(handle);
                break;
            case 7:
                Native.check(one(texts));
                break;
            case 8:
                Native.benchPlan(one(texts), number(), random.nextBoolean());
                break;
            case 9:
                Native.benchRun(one(texts), one(texts), null);
                break;
            case 10:
                Native.benchResult(one(texts), one(texts), one(texts), random.nextBoolean() ? null : texts);
                break;
            default:
                Native.close(random.nextLong() | 1L << 40);
        }
    }
}
