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
import dev.edgepose.demo.PreviewGeometry;
import dev.edgepose.demo.StatusLine;
import java.io.File;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A camera and a bundle at work, on a thread of their own. Nothing here waits for that thread, since a bundle may take
 * seconds to load; the next one waits for it instead. Called on the main thread.
 */
final class LivePoses {
    /** What is wanted; not changed while it is used. */
    static final class Settings {
        /** Null for the first one. */
        final String bundle;
        final int threads;
        final int interval;
        final boolean front;
        /** How far the display is turned from its natural orientation. */
        final int displayDegrees;

        Settings(String bundle, int threads, int interval, boolean front, int displayDegrees) {
            this.bundle = bundle;
            this.threads = threads;
            this.interval = interval;
            this.front = front;
            this.displayDegrees = displayDegrees;
        }
    }

    /** Called on the worker's thread. */
    interface Listener {
        void onStarted(String bundle, SkeletonPainter painter);

        /** What the camera really gives, before its first frame. */
        void onCamera(PreviewGeometry geometry);

        /** The frame does not change afterwards. */
        void onPoses(PoseFrame frame, String line);

        /** The pixels of one frame's own picture, upright, and not mirrored. */
        void onSnapshot(int[] argb, PoseFrame frame);

        void onFailure(String message);
    }

    private final Context context;
    private final BundleChoices choices;
    private final Listener listener;
    // Outlives a run: the question for a permission pauses the app.
    private final AtomicBoolean snapshotWanted = new AtomicBoolean();
    private Run run;
    /** That of the newest run, which may have been stopped and still be at work. */
    private Thread newest;

    LivePoses(Context context, BundleChoices choices, Listener listener) {
        this.context = context;
        this.choices = choices;
        this.listener = listener;
    }

    void start(Settings settings, SurfaceTexture texture) {
        stop();
        run = new Run(settings, texture, newest);
        newest = run.thread;
    }

    boolean isRunning() {
        return run != null && !run.failed;
    }

    /** Returns at once; camera and networks are released when the frame, or the loading, under way has ended. */
    void stop() {
        if (run != null) {
            run.stop();
            run = null;
        }
    }

    /** Stops, and releases a texture when no camera draws on it any more. */
    void stop(final SurfaceTexture texture) {
        stop();
        final Thread user = newest;
        new Thread("texture") {
            @Override
            public void run() {
                waitFor(user);
                texture.release();
            }
        }.start();
    }

    /** The next frame comes as a snapshot, too. */
    void takeSnapshot() {
        snapshotWanted.set(true);
    }

    /** One that was asked for and not taken yet is not wanted any more. */
    void dropSnapshot() {
        snapshotWanted.set(false);
    }

    static String text(EdgePoseException error) {
        String hint = error.hint().isEmpty() ? "" : "\n" + error.hint();
        return error.code() + ": " + error.getMessage() + hint;
    }

    private static void waitFor(Thread thread) {
        if (thread == null) {
            return;
        }
        try {
            thread.join();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** From one start to its stop. */
    private final class Run implements Camera.Listener {
        final HandlerThread thread = new HandlerThread("poses");
        private final Handler worker;
        private volatile boolean stopping;
        private volatile boolean failed;

        // Used on the worker's thread only.
        private PoseSession session;
        private Camera camera;
        private final FrameRate rate = new FrameRate();
        private String note = "";

        Run(final Settings settings, final SurfaceTexture texture, final Thread before) {
            thread.start();
            worker = new Handler(thread.getLooper());
            worker.post(new Runnable() {
                @Override
                public void run() {
                    // Also when stopped already: whoever waits for this thread waits for all before it.
                    waitFor(before);
                    if (!stopping) {
                        open(settings, texture);
                    }
                }
            });
        }

        void stop() {
            stopping = true;
            worker.post(new Runnable() {
                @Override
                public void run() {
                    release();
                    // Not earlier: a camera that is being opened answers through this queue, and must be told to close.
                    thread.quitSafely();
                }
            });
        }

        private void open(Settings settings, SurfaceTexture texture) {
            try {
                String bundle = choices.chosen(settings.bundle);
                if (bundle == null) {
                    onFailure(context.getString(R.string.no_bundle));
                    return;
                }
                File folder = choices.folder(bundle);
                session = open(folder.getPath(), settings);
                if (stopping) {
                    return;
                }
                listener.onStarted(
                        bundle, new SkeletonPainter(session.skeleton(), session.keypointThreshold()));
                camera = new Camera(context, worker, this);
                String id = camera.find(settings.front);
                if (id == null) {
                    onFailure(context.getString(R.string.no_camera));
                } else if (!stopping) {
                    camera.open(id, texture, settings.displayDegrees);
                }
            } catch (EdgePoseException error) {
                onFailure(text(error));
            } catch (CameraAccessException error) {
                onFailure(context.getString(R.string.no_camera) + " (" + error.getMessage() + ")");
            }
        }

        /**
         * Tracked and smoothed, with the detection interval where the bundle has a detector to run less often; one
         * that cannot be tracked is run frame by frame, and says so.
         */
        private PoseSession open(String folder, Settings settings) {
            SessionOptions options = new SessionOptions().threads(settings.threads).track(true).smooth(true);
            String reason = "";
            for (int interval : new int[] {settings.interval, 1}) {
                try {
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
        public void onChosen(PreviewGeometry geometry) {
            listener.onCamera(geometry);
        }

        @Override
        public void onFrame(CameraFrame picture) {
            if (session == null || stopping) {
                return;
            }
            try {
                PoseFrame frame = session.process(picture);
                rate.add(picture.timeNs());
                // The session fills its frame again while the screen still draws this one.
                PoseFrame shown = frame.copy();
                listener.onPoses(shown, StatusLine.of(shown, rate.hz()) + note);
                if (snapshotWanted.getAndSet(false)) {
                    listener.onSnapshot(camera.argb(), shown);
                }
            } catch (EdgePoseException error) {
                release();
                onFailure(text(error));
            }
        }

        /** What a stopped run still meets is no one's concern. */
        @Override
        public void onFailure(String message) {
            failed = true;
            if (!stopping) {
                snapshotWanted.set(false); // a later run's first frame is not the one that was asked for
                listener.onFailure(message);
            }
        }
    }
}
