package dev.edgepose.demo.android;

import android.content.Context;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraAccessException;
import android.os.Handler;
import android.os.HandlerThread;
import dev.edgepose.CameraFrame;
import dev.edgepose.EdgePoseException;
import dev.edgepose.PoseFrame;
import dev.edgepose.PoseSession;
import dev.edgepose.SessionOptions;
import dev.edgepose.demo.BundleChoices;
import dev.edgepose.demo.FrameRate;
import dev.edgepose.demo.StatusLine;
import java.util.List;

/** A camera and a bundle at work, on a thread of their own. */
final class LivePoses implements Camera.Listener {
    /** What is wanted; not changed while it is used. */
    static final class Settings {
        /** Null for the first one. */
        final String bundle;
        final int threads;
        final int interval;
        final boolean front;

        Settings(String bundle, int threads, int interval, boolean front) {
            this.bundle = bundle;
            this.threads = threads;
            this.interval = interval;
            this.front = front;
        }
    }

    /** Called on the worker's thread. */
    interface Listener {
        void onStarted(String bundle, SkeletonPainter painter);

        /** The frame does not change afterwards. */
        void onPoses(PoseFrame frame, String line);

        /** The pixels of one frame's own picture, upright, and not mirrored. */
        void onSnapshot(int[] argb, PoseFrame frame);

        void onFailure(String message);
    }

    private final Context context;
    private final BundleChoices choices;
    private final Listener listener;
    private HandlerThread thread;
    private Handler worker;
    private volatile boolean snapshotWanted;

    // Used on the worker's thread only.
    private PoseSession session;
    private Camera camera;
    private final FrameRate rate = new FrameRate();
    private String note = "";

    LivePoses(Context context, BundleChoices choices, Listener listener) {
        this.context = context;
        this.choices = choices;
        this.listener = listener;
    }

    void start(final Settings settings, final SurfaceTexture texture) {
        stop();
        thread = new HandlerThread("poses");
        thread.start();
        worker = new Handler(thread.getLooper());
        worker.post(new Runnable() {
            @Override
            public void run() {
                open(settings, texture);
            }
        });
    }

    /** Returns when camera and networks are released. */
    void stop() {
        if (thread == null) {
            return;
        }
        worker.removeCallbacksAndMessages(null);
        worker.post(new Runnable() {
            @Override
            public void run() {
                release();
            }
        });
        thread.quitSafely();
        try {
            thread.join();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        thread = null;
    }

    /** The next frame comes as a snapshot, too. */
    void takeSnapshot() {
        snapshotWanted = true;
    }

    static String text(EdgePoseException error) {
        String hint = error.hint().isEmpty() ? "" : "\n" + error.hint();
        return error.code() + ": " + error.getMessage() + hint;
    }

    private void open(Settings settings, SurfaceTexture texture) {
        try {
            String bundle = settings.bundle;
            if (bundle == null) {
                List<String> names = choices.names();
                if (names.isEmpty()) {
                    listener.onFailure(context.getString(R.string.no_bundle));
                    return;
                }
                bundle = names.get(0);
            }
            session = open(choices.folder(bundle).getPath(), settings);
            listener.onStarted(bundle, new SkeletonPainter(session.skeleton(), session.keypointThreshold()));
            rate.clear();
            camera = new Camera(context, worker, this);
            String id = camera.find(settings.front);
            if (id == null) {
                listener.onFailure(context.getString(R.string.no_camera));
                return;
            }
            camera.open(id, texture, 0);
        } catch (EdgePoseException error) {
            listener.onFailure(text(error));
        } catch (CameraAccessException error) {
            listener.onFailure(context.getString(R.string.no_camera) + " (" + error.getMessage() + ")");
        }
    }

    /**
     * Tracked and smoothed, with the detection interval where the bundle has a detector to run less often; one that
     * cannot be tracked is run frame by frame, and says so.
     */
    private PoseSession open(String folder, Settings settings) {
        SessionOptions options = new SessionOptions().threads(settings.threads).track(true).smooth(true);
        String reason = "";
        for (int interval : new int[] {settings.interval, 1}) {
            try {
                note = "";
                return PoseSession.open(folder, options.detectEvery(interval));
            } catch (EdgePoseException error) {
                if (error.code() != EdgePoseException.Code.INVALID_ARGUMENT) {
                    throw error;
                }
                reason = error.getMessage();
            }
        }
        note = "\n" + context.getString(R.string.not_tracked) + " (" + reason + ")";
        return PoseSession.open(folder, settings.threads);
    }

    private void release() {
        if (camera != null) {
            camera.close();
            camera = null;
        }
        if (session != null) {
            session.close();
            session = null;
        }
    }

    @Override
    public void onFrame(CameraFrame picture) {
        if (session == null) {
            return;
        }
        try {
            PoseFrame frame = session.process(picture);
            rate.add(picture.timeNs());
            // The session fills its frame again while the screen still draws this one.
            PoseFrame shown = frame.copy();
            listener.onPoses(shown, StatusLine.of(shown, rate.hz()) + note);
            if (snapshotWanted) {
                snapshotWanted = false;
                listener.onSnapshot(camera.argb(), shown);
            }
        } catch (EdgePoseException error) {
            release();
            listener.onFailure(text(error));
        }
    }

    @Override
    public void onFailure(String message) {
        listener.onFailure(message);
    }
}
