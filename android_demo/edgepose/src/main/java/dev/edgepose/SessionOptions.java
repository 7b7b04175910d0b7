package dev.edgepose;

import androidx.annotation.NonNull;

/** How a session works. Every method returns the same object. */
public final class SessionOptions {
    /** The most persons that one frame gives unless told otherwise. */
    public static final int DEFAULT_MAX_PERSONS = 32;

    int threads = 1;
    String device = "CPU";
    int maxPersons = DEFAULT_MAX_PERSONS;
    boolean track;
    boolean smooth;
    int detectEvery = 1;
    int detectDelay;

    @NonNull
    public SessionOptions threads(int count) {
        threads = count;
        return this;
    }

    @NonNull
    public SessionOptions device(@NonNull String name) {
        device = name;
        return this;
    }

    /** The most persons that one frame gives; the best boxes are kept. */
    @NonNull
    public SessionOptions maxPersons(int count) {
        maxPersons = count;
        return this;
    }

    /** The pictures are the frames of one video: persons keep their track ids, and times must rise. */
    @NonNull
    public SessionOptions track(boolean on) {
        track = on;
        return this;
    }

    /** Takes the jitter out of the keypoints; needs track. */
    @NonNull
    public SessionOptions smooth(boolean on) {
        smooth = on;
        return this;
    }

    /**
     * The detector runs on every n-th frame, and where a person was lost. Above 1 it needs track, and a bundle of a
     * detector and a pose network: not RTMO.
     */
    @NonNull
    public SessionOptions detectEvery(int frames) {
        detectEvery = frames;
        return this;
    }

    /**
     * Above 0 the detector works on a thread of its own, beside the poses: what it finds in a frame counts this many
     * frames later, at most detectEvery. Needs what detectEvery above 1 needs.
     */
    @NonNull
    public SessionOptions detectDelay(int frames) {
        detectDelay = frames;
        return this;
    }
}
