package dev.edgepose;

import java.nio.ByteBuffer;

/** The border to libedgepose_jni: loads it once and holds it to this version of the classes. */
final class Native {
    /** The version of EdgePose that these classes belong to. */
    static final String VERSION = "0.1.0";

    private static final int INTERFACE_VERSION = 3;

    /** Why the library cannot be used, or null. */
    private static final String PROBLEM = load();

    private Native() {}

    /** Throws UNSUPPORTED where the library is absent or of another version. */
    static void require() {
        if (PROBLEM != null) {
            throw new EdgePoseException(
                    EdgePoseException.Code.UNSUPPORTED.number(),
                    PROBLEM,
                    "take the classes and the library from the same build, for this processor");
        }
    }

    private static String load() {
        try {
            System.loadLibrary("edgepose_jni");
            return mismatch(interfaceVersion(), libraryVersion());
        } catch (UnsatisfiedLinkError error) {
            return "libedgepose_jni cannot be loaded: " + error.getMessage();
        }
    }

    /** Says what is wrong with a library of these versions, or null. */
    static String mismatch(int interfaceVersion, String libraryVersion) {
        if (interfaceVersion == INTERFACE_VERSION && VERSION.equals(libraryVersion)) {
            return null;
        }
        return "libedgepose_jni is version " + libraryVersion + " (interface " + interfaceVersion
                + "), the classes are version " + VERSION + " (interface " + INTERFACE_VERSION + ")";
    }

    static native int interfaceVersion();

    static native String libraryVersion();

    /** Verifies the bundle in a folder with its checksums; throws where it, or its engine, cannot be used. */
    static native void check(String bundle);

    static native long open(
            String bundle,
            int threads,
            String device,
            boolean track,
            boolean smooth,
            int detectEvery,
            int detectDelay);

    static native void close(long handle);

    static native String[] facts(long handle);

    static native String[] keypointNames(long handle);

    static native int[] skeleton(long handle);

    static native int[] layout(long handle);

    static native float keypointThreshold(long handle);

    static native int process(
            long handle,
            ByteBuffer data,
            ByteBuffer u,
            ByteBuffer v,
            int format,
            int widthPx,
            int heightPx,
            int rowStrideBytes,
            int chromaRowStrideBytes,
            int chromaPixelStrideBytes,
            int colour,
            int rotationDegrees,
            boolean mirrored,
            long timeNs,
            ByteBuffer results);

    static native void reset(long handle);

    static native double[] verify(long handle);

    static native String benchPlan(String bundle, int threads, boolean quick);

    static native String benchRun(String bundle, String plan, Benchmark.Listener listener);

    static native String[] benchResult(String bundle, String plan, String journal, String[] device);
}
