package dev.edgepose.demo;

/** Frames per second over the last frames; allocates nothing per frame. */
public final class FrameRate {
    private final long[] timesNs = new long[30];
    private int count;

    public void add(long timeNs) {
        timesNs[count++ % timesNs.length] = timeNs;
    }

    /** 0 before the second frame. */
    public float hz() {
        int held = Math.min(count, timesNs.length);
        if (held < 2) {
            return 0;
        }
        long newest = timesNs[(count - 1) % timesNs.length];
        long oldest = timesNs[(count - held) % timesNs.length];
        return newest > oldest ? (held - 1) * 1e9f / (newest - oldest) : 0;
    }

    public void clear() {
        count = 0;
    }
}
