package dev.edgepose;

import androidx.annotation.NonNull;
import java.io.File;
import java.io.FileDescriptor;

/**
 * A bundle in use. One thread at a time: a second one that enters gets an exception with INVALID_ARGUMENT, and
 * close() is safe at any time from any thread and returns at once, with a detect delay after the detection that is
 * under way; a call that it meets in another thread goes on to its end, with the buffers of its picture. After the
 * first frames nothing is allocated per frame, neither here nor in the native library.
 */
public final class PoseSession implements AutoCloseable {
    private static final int MOST_PERSONS = 1024;

    private volatile long handle;
    private final String[] facts;
    private final String[] keypointNames;
    private final int[] skeleton;
    private final float keypointThreshold;
    private final PoseFrame frame;

    private PoseSession(long handle, int maxPersons) {
        this.handle = handle;
        this.facts = Native.facts(handle);
        this.keypointNames = Native.keypointNames(handle);
        this.skeleton = Native.skeleton(handle);
        this.keypointThreshold = Native.keypointThreshold(handle);
        this.frame = new PoseFrame(Native.layout(handle), maxPersons);
    }

    /** The version of EdgePose. */
    @NonNull
    public static String version() {
        return Native.VERSION;
    }

    /** Opens the bundle in a folder; its checksums are verified. Pictures are taken one by one. */
    @NonNull
    public static PoseSession open(@NonNull String bundleFolder, int threads) {
        return open(bundleFolder, new SessionOptions().threads(threads));
    }

    /**
     * Opens the bundle in a folder.
     *
     * @throws EdgePoseException INVALID_BUNDLE, CHECKSUM_MISMATCH, UNSUPPORTED (an engine that this build lacks),
     *     INVALID_ARGUMENT and others, with a hint
     */
    @NonNull
    public static PoseSession open(@NonNull String bundleFolder, @NonNull SessionOptions options) {
        int maxPersons = options.maxPersons;
        if (maxPersons < 1 || maxPersons > MOST_PERSONS) {
            throw new EdgePoseException(
                    EdgePoseException.Code.INVALID_ARGUMENT.number(),
                    "maxPersons is " + maxPersons,
                    "use 1 to " + MOST_PERSONS);
        }
        Native.require();
        long handle = Native.open(
                bundleFolder,
                options.threads,
                options.device,
                options.track,
                options.smooth,
                options.detectEvery,
                options.detectDelay);
        try {
            return new PoseSession(handle, maxPersons);
        } catch (RuntimeException | Error failure) {
            Native.close(handle);
            throw failure;
        }
    }

    /**
     * Opens a bundle that is one ZIP file, by file descriptor: {@link BundleArchive#unpack} unpacks it to {@code
     * folder}, which stays there.
     *
     * @param lengthBytes -1 for "to the end of the file"
     * @throws EdgePoseException as the other forms, and as {@link BundleArchive#unpack}
     */
    @NonNull
    public static PoseSession open(
            @NonNull FileDescriptor archive,
            long offsetBytes,
            long lengthBytes,
            @NonNull File folder,
            @NonNull SessionOptions options) {
        return open(BundleArchive.unpack(archive, offsetBytes, lengthBytes, folder).getPath(), options);
    }

    /** Finds the persons of a picture, best box first. The result is overwritten by the next call. */
    @NonNull
    public PoseFrame process(@NonNull CameraFrame picture) {
        Native.process(
                handle,
                picture.data,
                picture.u,
                picture.v,
                picture.format,
                picture.widthPx,
                picture.heightPx,
                picture.rowStrideBytes,
                picture.chromaRowStrideBytes,
                picture.chromaPixelStrideBytes,
                picture.colour,
                picture.rotationDegrees,
                picture.mirrored,
                picture.timeNs,
                frame.words);
        return frame;
    }

    /** Forgets all earlier frames, for example when the camera changes. */
    public void reset() {
        Native.reset(handle);
    }

    /** Runs the bundle's own picture; false where its expected results are not reproduced on this device. */
    public boolean verify() {
        return Native.verify(handle)[0] == 1;
    }

    @NonNull
    public String name() {
        return facts[0];
    }

    /** The engine, for example "ncnn". */
    @NonNull
    public String backend() {
        return facts[1];
    }

    @NonNull
    public String precision() {
        return facts[2];
    }

    /** The SHA-256 that stands for the whole bundle. */
    @NonNull
    public String digest() {
        return facts[3];
    }

    @NonNull
    public String[] keypointNames() {
        return keypointNames.clone();
    }

    /** Pairs of keypoint numbers, one after the other. */
    @NonNull
    public int[] skeleton() {
        return skeleton.clone();
    }

    /** The score below which the bundle's maker regards a keypoint as not seen. */
    public float keypointThreshold() {
        return keypointThreshold;
    }

    /**
     * Releases the networks, at once or, where another thread is inside a call, when that call has ended; later calls
     * throw. This method does not wait for that call, only for a detection beside the poses. process() reads its
     * picture's buffers until it has returned, so keep them valid (do not close their {@code Image}) until then.
     */
    @Override
    public void close() {
        long closed = handle;
        handle = 0;
        Native.close(closed);
    }
}
