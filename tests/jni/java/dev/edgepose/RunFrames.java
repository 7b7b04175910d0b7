package dev.edgepose;

import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.Arrays;

/**
 * Runs a bundle on a file of I420 frames: RunFrames BUNDLE FILE WIDTH HEIGHT [DETECT_EVERY]; a line of numbers a
 * person, and one with the number of its track and the depths of its points. DETECT_EVERY asks for smooth tracks.
 */
public final class RunFrames {
    private RunFrames() {}

    public static void main(String[] args) throws IOException {
        int width = Integer.parseInt(args[2]);
        int height = Integer.parseInt(args[3]);
        int luma = width * height;
        ByteBuffer all = ByteBuffer.allocateDirect(luma * 3 / 2);
        ByteBuffer y = slice(all, 0, luma);
        ByteBuffer u = slice(all, luma, luma / 4);
        ByteBuffer v = slice(all, luma * 5 / 4, luma / 4);
        CameraFrame picture = new CameraFrame()
                .yuv420(y, u, v, width, height, width, width / 2, 1)
                .colour(CameraFrame.Colour.BT601_LIMITED);
        double[] overheadMs = new double[0];
        SessionOptions options = new SessionOptions();
        if (args.length > 4) {
            int every = Integer.parseInt(args[4]);
            options.track(true).smooth(true).detectEvery(every).detectDelay(every - 1);
        }
        try (PoseSession session = PoseSession.open(args[0], options);
                FileInputStream in = new FileInputStream(args[1]);
                FileChannel channel = in.getChannel()) {
            for (int index = 0; ; index++) {
                all.clear();
                while (all.hasRemaining() && channel.read(all) >= 0) {
                    // Until the frame is complete.
                }
                if (all.hasRemaining()) {
                    break;
                }
                long start = System.nanoTime();
                PoseFrame frame = session.process(picture.timeNs(index * 100_000_000L));
                double ms = (System.nanoTime() - start) * 1e-6 - frame.stageMs(PoseFrame.Stage.TOTAL);
                overheadMs = Arrays.copyOf(overheadMs, index + 1);
                overheadMs[index] = ms;
                print(index, frame);
            }
        }
        Arrays.sort(overheadMs);
        System.out.println("overhead_ms " + overheadMs[overheadMs.length / 2]);
    }

    private static void print(int index, PoseFrame frame) {
        for (int p = 0; p < frame.personCount(); p++) {
            StringBuilder line = new StringBuilder("pose ").append(index);
            for (float value : new float[] {
                frame.boxX1Px(p), frame.boxY1Px(p), frame.boxX2Px(p), frame.boxY2Px(p), frame.boxScore(p)
            }) {
                line.append(' ').append(value);
            }
            for (int k = 0; k < frame.keypointCount(); k++) {
                line.append(' ').append(frame.xPx(p, k)).append(' ').append(frame.yPx(p, k));
                line.append(' ').append(frame.score(p, k));
            }
            System.out.println(line);
            StringBuilder more = new StringBuilder("track ").append(frame.trackId(p));
            for (int k = 0; k < frame.keypointCount(); k++) {
                more.append(' ').append(frame.z(p, k));
            }
            System.out.println(more);
        }
    }

    private static ByteBuffer slice(ByteBuffer buffer, int start, int bytes) {
        buffer.limit(start + bytes);
        buffer.position(start);
        ByteBuffer part = buffer.slice();
        buffer.clear();
        return part;
    }
}
