package dev.edgepose.demo;

import dev.edgepose.PoseFrame;
import dev.edgepose.PoseFrame.Stage;
import java.util.Locale;

/** What the demo writes over the picture. */
public final class StatusLine {
    private StatusLine() {}

    public static String of(PoseFrame frame, float hz) {
        return String.format(
                Locale.ROOT,
                "%.1f frames/s   %d %s   detector %.1f ms   pose %.1f ms   all %.1f ms",
                hz,
                frame.personsFound(),
                frame.personsFound() == 1 ? "person" : "persons",
                frame.stageMs(Stage.DETECTOR_PREPROCESS)
                        + frame.stageMs(Stage.DETECTOR)
                        + frame.stageMs(Stage.DETECTOR_DECODE),
                frame.stageMs(Stage.POSE_PREPROCESS) + frame.stageMs(Stage.POSE) + frame.stageMs(Stage.POSE_DECODE),
                frame.stageMs(Stage.TOTAL));
    }
}
