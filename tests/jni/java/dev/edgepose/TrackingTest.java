package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgepose.EdgePoseException.Code;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Persons who are followed from frame to frame. The committed bundles cannot do that: this one can. */
class TrackingTest {
    /** Settings under which nobody is lost, for the fake network's scores mean nothing. */
    private static final String TRACKING = "\"tracking\": {\"match_similarity\": 0, \"keypoint_weight\": 0.5,"
            + " \"nms_oks\": 1, \"birth_box_score\": 0, \"loss_keypoint_score\": 0, \"max_lost_s\": 1,"
            + " \"max_prediction_s\": 0.7, \"velocity_time_s\": 0.2, \"uncertainty_time_s\": 0.4,"
            + " \"pose_box_padding\": 1.2, \"pose_box_pull\": 0.1, \"scene_change_levels\": 255,"
            + " \"smoothing\": {\"min_cutoff_hz\": 0.6, \"cutoff_per_speed\": 6, \"derivative_cutoff_hz\": 1,"
            + " \"hold_s\": 0.1}},\n ";

    @TempDir
    Path folder;

    private String bundle;

    @BeforeEach
    void makeABundleThatTracks() throws Exception {
        bundle = Bundles.edited("top_down", folder, text -> text.replace("\"models\": {", TRACKING + "\"models\": {"))
                .toString();
    }

    private static List<Integer> ids(PoseFrame frame) {
        List<Integer> ids = new ArrayList<>();
        for (int p = 0; p < frame.personCount(); p++) {
            ids.add(frame.trackId(p));
        }
        return ids;
    }

    @Test
    void personsKeepTheirNumbersAndResetBeginsAgain() {
        CameraFrame picture = Bundles.bgrNoise(64, 48, 1);
        try (PoseSession session = PoseSession.open(bundle, new SessionOptions().track(true))) {
            // Some frames pass before a person counts as one.
            List<Integer> first = Collections.emptyList();
            for (int i = 1; i < 9; i++) {
                List<Integer> before = first;
                first = ids(session.process(picture.timeNs(i * 33_000_000L)));
                assertTrue(i < 5 || first.equals(before), before + ", then " + first);
            }
            assertTrue(first.size() > 1 && Collections.min(first) >= 1, first.toString());
            assertEquals(first.size(), new HashSet<>(first).size(), first.toString());
            assertFails(Code.INVALID_ARGUMENT, () -> session.process(picture.timeNs(8 * 33_000_000L)));
            session.process(picture.timeNs(8 * 33_000_000L + 1)); // one nanosecond is enough
            session.reset();
            session.process(picture.timeNs(1));
        }
    }

    @Test
    void theDetectorRunsOnEveryNthFrame() {
        CameraFrame picture = Bundles.bgrNoise(64, 48, 1);
        SessionOptions options = new SessionOptions().track(true).detectEvery(3);
        try (PoseSession session = PoseSession.open(bundle, options)) {
            for (int i = 0; i < 9; i++) {
                PoseFrame frame = session.process(picture.timeNs(i * 33_000_000L));
                // Until the persons count as such, the detector is asked more often.
                assertTrue(i < 3 || i % 3 == 0 == frame.stageMs(PoseFrame.Stage.DETECTOR) > 0, "frame " + i);
            }
        }
    }

    @Test
    void smoothingChangesThePointsOfLaterFrames() {
        List<Float> plain = new ArrayList<>();
        List<Float> smooth = new ArrayList<>();
        for (List<Float> xs : Arrays.asList(plain, smooth)) {
            SessionOptions options = new SessionOptions().track(true).smooth(xs == smooth);
            try (PoseSession session = PoseSession.open(bundle, options)) {
                for (int i = 0; i < 8; i++) {
                    CameraFrame picture = Bundles.bgrNoise(64, 48, i % 2);
                    PoseFrame frame = session.process(picture.timeNs(i * 33_000_000L));
                    for (int p = 0; p < frame.personCount(); p++) {
                        xs.add(frame.xPx(p, 0));
                    }
                }
            }
        }
        assertFalse(plain.isEmpty());
        assertFalse(plain.equals(smooth));
    }

    @Test
    void optionsThatContradictEachOtherAreRefused() {
        SessionOptions[] wrong = {
            new SessionOptions().smooth(true),
            new SessionOptions().detectEvery(5),
            new SessionOptions().track(true).detectEvery(0),
            new SessionOptions().detectDelay(1),
            new SessionOptions().track(true).detectDelay(2),
        };
        for (SessionOptions options : wrong) {
            EdgePoseException error = assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(bundle, options));
            assertFalse(error.getMessage().contains("has no \"tracking\" member"), error.getMessage());
        }
        SessionOptions all = new SessionOptions().track(true).smooth(true).detectEvery(2).detectDelay(2);
        PoseSession.open(bundle, all).close();
        EdgePoseException error =
                assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(Bundles.path("top_down"), all));
        assertTrue(error.getMessage().contains("has no \"tracking\" member"), error.getMessage());
    }
}
