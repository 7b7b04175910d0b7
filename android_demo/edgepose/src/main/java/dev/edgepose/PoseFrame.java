package dev.edgepose;

import androidx.annotation.NonNull;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The persons of one picture. A session fills one instance again and again: read it before the next call of
 * {@link PoseSession#process}, or keep a {@link #copy}. Coordinates are in pixels of the upright picture; a
 * missing keypoint has score 0.
 */
public final class PoseFrame {
    /** The stages whose time is measured. */
    public enum Stage {
        DETECTOR_PREPROCESS,
        DETECTOR,
        DETECTOR_DECODE,
        POSE_PREPROCESS,
        POSE,
        POSE_DECODE,
        TOTAL
    }

    // Words of the header, and of a person before the keypoints; the native library writes them.
    private static final int FOUND = 0;
    private static final int WRITTEN = 1;
    private static final int WIDTH = 3;
    private static final int HEIGHT = 4;
    private static final int STAGES = 5;
    private static final int SCORE = 4;
    private static final int TRACK_ID = 5;

    final ByteBuffer words;
    private final int headerWords;
    private final int personWords;
    private final int boxWords;
    private final int keypointWords;

    /** layout is what Native.layout gives. */
    PoseFrame(int[] layout, int maxPersons) {
        this(layout[0], layout[1], layout[2], layout[3], 4 * (layout[0] + maxPersons * layout[1]));
    }

    private PoseFrame(int headerWords, int personWords, int boxWords, int keypointWords, int bytes) {
        this.headerWords = headerWords;
        this.personWords = personWords;
        this.boxWords = boxWords;
        this.keypointWords = keypointWords;
        this.words = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    /** How many persons can be read. */
    public int personCount() {
        return intAt(WRITTEN);
    }

    /** How many persons the picture holds; more than personCount() where the session's limit cut some off. */
    public int personsFound() {
        return intAt(FOUND);
    }

    public int keypointCount() {
        return (personWords - boxWords) / keypointWords;
    }

    /** Whether keypoints have a depth. */
    public boolean hasZ() {
        return keypointWords == 4;
    }

    public int widthPx() {
        return intAt(WIDTH);
    }

    public int heightPx() {
        return intAt(HEIGHT);
    }

    public float stageMs(@NonNull Stage stage) {
        return floatAt(STAGES + stage.ordinal());
    }

    /** The left edge of a person's box. */
    public float boxX1Px(int person) {
        return floatAt(start(person));
    }

    public float boxY1Px(int person) {
        return floatAt(start(person) + 1);
    }

    public float boxX2Px(int person) {
        return floatAt(start(person) + 2);
    }

    public float boxY2Px(int person) {
        return floatAt(start(person) + 3);
    }

    public float boxScore(int person) {
        return floatAt(start(person) + SCORE);
    }

    /** A number that stays with a person from frame to frame; -1 where persons are not tracked. */
    public int trackId(int person) {
        return intAt(start(person) + TRACK_ID);
    }

    public float xPx(int person, int keypoint) {
        return floatAt(start(person, keypoint));
    }

    public float yPx(int person, int keypoint) {
        return floatAt(start(person, keypoint) + 1);
    }

    public float score(int person, int keypoint) {
        return floatAt(start(person, keypoint) + 2);
    }

    /**
     * Depth in metres relative to the middle of the two hips (points 11 and 12), larger is farther; 0 for networks
     * without depth.
     */
    public float z(int person, int keypoint) {
        return hasZ() ? floatAt(start(person, keypoint) + 3) : 0;
    }

    /** A frame of its own with the same persons. */
    @NonNull
    public PoseFrame copy() {
        int bytes = 4 * (headerWords + personCount() * personWords);
        PoseFrame frame = new PoseFrame(headerWords, personWords, boxWords, keypointWords, bytes);
        for (int i = 0; i < bytes; i += 4) {
            frame.words.putInt(i, words.getInt(i));
        }
        return frame;
    }

    private int start(int person) {
        if (person < 0 || person >= personCount()) {
            throw new IndexOutOfBoundsException("person " + person + " of " + personCount());
        }
        return headerWords + person * personWords;
    }

    private int start(int person, int keypoint) {
        if (keypoint < 0 || keypoint >= keypointCount()) {
            throw new IndexOutOfBoundsException("keypoint " + keypoint + " of " + keypointCount());
        }
        return start(person) + boxWords + keypoint * keypointWords;
    }

    private int intAt(int word) {
        return words.getInt(4 * word);
    }

    private float floatAt(int word) {
        return words.getFloat(4 * word);
    }
}
