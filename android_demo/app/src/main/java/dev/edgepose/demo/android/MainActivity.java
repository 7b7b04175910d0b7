package dev.edgepose.demo.android;

import android.Manifest;
import android.app.Activity;
import android.app.AlertDialog;
import android.content.DialogInterface;
import android.content.pm.PackageManager;
import android.graphics.Color;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraAccessException;
import android.os.Bundle;
import android.os.Handler;
import android.os.HandlerThread;
import android.view.Gravity;
import android.view.TextureView;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.FrameLayout;
import android.widget.LinearLayout;
import android.widget.TextView;
import dev.edgepose.BundleInstaller;
import dev.edgepose.CameraFrame;
import dev.edgepose.EdgePoseException;
import dev.edgepose.PoseFrame;
import dev.edgepose.PoseSession;
import dev.edgepose.SessionOptions;
import dev.edgepose.demo.BundleChoices;
import dev.edgepose.demo.FrameRate;
import dev.edgepose.demo.StatusLine;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;

/**
 * Live poses from the camera. The networks run on a thread of their own; the screen is locked to portrait.
 *
 * <p>No lambdas here: the tool of scripts/build-apk.sh leaves them to a class that Android does not have.
 */
public final class MainActivity extends Activity
        implements TextureView.SurfaceTextureListener, View.OnClickListener, Camera.Listener {
    private static final int PERMISSION_REQUEST = 1;
    private static final int[] THREADS = {1, 2, 4, 8};
    private static final int[] INTERVALS = {1, 2, 5, 10};

    private TextureView preview;
    private OverlayView overlay;
    private TextView status;
    private BundleChoices choices;

    private HandlerThread thread;
    private Handler worker;

    // Used on the worker thread only.
    private PoseSession session;
    private Camera camera;
    private final FrameRate rate = new FrameRate();
    private String note = "";

    // Settings; changed on the main thread.
    private volatile String bundle;
    private volatile int threads = 4;
    private volatile int interval = 5;
    private volatile boolean front;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        BundleInstaller.Source assets = new BundleInstaller.Source() {
            @Override
            public InputStream open(String name) throws IOException {
                return getAssets().open("bundles/" + name);
            }
        };
        choices = new BundleChoices(
                new BundleInstaller(assets, new File(getFilesDir(), "bundles")), getExternalFilesDir("bundles"));
        preview = new TextureView(this);
        preview.setSurfaceTextureListener(this);
        overlay = new OverlayView(this);
        status = new TextView(this);
        status.setTextColor(Color.WHITE);
        status.setBackgroundColor(Color.argb(160, 0, 0, 0));
        status.setPadding(24, 24, 24, 24);
        FrameLayout root = new FrameLayout(this);
        root.setBackgroundColor(Color.BLACK);
        root.addView(preview);
        root.addView(overlay);
        root.addView(status, new FrameLayout.LayoutParams(
                FrameLayout.LayoutParams.MATCH_PARENT, FrameLayout.LayoutParams.WRAP_CONTENT, Gravity.TOP));
        root.addView(buttons(), new FrameLayout.LayoutParams(
                FrameLayout.LayoutParams.MATCH_PARENT, FrameLayout.LayoutParams.WRAP_CONTENT, Gravity.BOTTOM));
        setContentView(root);
        // A picture of 16:9, upright; the buffers are turned by the texture view itself.
        root.addOnLayoutChangeListener(new View.OnLayoutChangeListener() {
            @Override
            public void onLayoutChange(View v, int l, int t, int r, int b, int ol, int ot, int or, int ob) {
                fit(r - l, b - t);
            }
        });
    }

    private void fit(int width, int height) {
        int side = Math.min(width, height * 9 / 16);
        for (View view : new View[] {preview, overlay}) {
            FrameLayout.LayoutParams size = (FrameLayout.LayoutParams) view.getLayoutParams();
            if (size.width != side) {
                view.setLayoutParams(new FrameLayout.LayoutParams(side, side * 16 / 9, Gravity.CENTER));
            }
        }
    }

    private View buttons() {
        LinearLayout row = new LinearLayout(this);
        add(row, R.string.turn_camera);
        add(row, R.string.choose_bundle);
        add(row, R.string.choose_threads);
        add(row, R.string.choose_interval);
        return row;
    }

    private void add(LinearLayout row, int label) {
        Button button = new Button(this);
        button.setId(label);
        button.setText(label);
        button.setOnClickListener(this);
        row.addView(button, new LinearLayout.LayoutParams(0, LinearLayout.LayoutParams.WRAP_CONTENT, 1));
    }

    @Override
    public void onClick(View button) {
        if (button.getId() == R.string.choose_bundle) {
            chooseBundle();
        } else if (button.getId() == R.string.choose_threads) {
            chooseThreads();
        } else if (button.getId() == R.string.choose_interval) {
            chooseInterval();
        } else {
            front = !front;
            restart();
        }
    }

    private void chooseBundle() {
        try {
            List<String> names = choices.names();
            final String[] items = names.toArray(new String[0]);
            choose(R.string.choose_bundle, items, new DialogInterface.OnClickListener() {
                @Override
                public void onClick(DialogInterface dialog, int which) {
                    bundle = items[which];
                    restart();
                }
            });
        } catch (EdgePoseException error) {
            showFailure(error);
        }
    }

    private void chooseThreads() {
        choose(R.string.choose_threads, labels(THREADS), new DialogInterface.OnClickListener() {
            @Override
            public void onClick(DialogInterface dialog, int which) {
                threads = THREADS[which];
                restart();
            }
        });
    }

    private void chooseInterval() {
        choose(R.string.choose_interval, labels(INTERVALS), new DialogInterface.OnClickListener() {
            @Override
            public void onClick(DialogInterface dialog, int which) {
                interval = INTERVALS[which];
                restart();
            }
        });
    }

    private static String[] labels(int[] values) {
        String[] labels = new String[values.length];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = String.valueOf(values[i]);
        }
        return labels;
    }

    private void choose(int title, String[] items, DialogInterface.OnClickListener action) {
        new AlertDialog.Builder(this).setTitle(title).setItems(items, action).show();
    }

    @Override
    protected void onResume() {
        super.onResume();
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            status.setText(R.string.needs_camera);
            requestPermissions(new String[] {Manifest.permission.CAMERA}, PERMISSION_REQUEST);
            return;
        }
        restart();
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
        if (results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED) {
            restart();
        } else {
            status.setText(R.string.no_permission);
        }
    }

    @Override
    protected void onPause() {
        stop();
        super.onPause();
    }

    private void restart() {
        stop();
        if (!preview.isAvailable()) {
            return;
        }
        thread = new HandlerThread("poses");
        thread.start();
        worker = new Handler(thread.getLooper());
        worker.post(new Runnable() {
            @Override
            public void run() {
                start();
            }
        });
    }

    private void stop() {
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

    private void start() {
        try {
            if (bundle == null) {
                List<String> names = choices.names();
                if (names.isEmpty()) {
                    onFailure(getString(R.string.no_bundle));
                    return;
                }
                bundle = names.get(0);
            }
            session = open(choices.folder(bundle).getPath());
            final int[] skeleton = session.skeleton();
            final float threshold = session.keypointThreshold();
            runOnUiThread(new Runnable() {
                @Override
                public void run() {
                    overlay.setBundle(skeleton, threshold);
                }
            });
            rate.clear();
            camera = new Camera(this, worker, this);
            String id = camera.find(front);
            SurfaceTexture texture = preview.getSurfaceTexture();
            if (id == null || texture == null) {
                onFailure(getString(R.string.no_camera));
                return;
            }
            camera.open(id, texture, 0);
        } catch (EdgePoseException error) {
            showFailure(error);
        } catch (CameraAccessException error) {
            onFailure(getString(R.string.no_camera) + " (" + error.getMessage() + ")");
        }
    }

    /** Tracked and smoothed; a bundle that cannot be tracked is run frame by frame, and says so. */
    private PoseSession open(String folder) {
        SessionOptions options = new SessionOptions().threads(threads).track(true).smooth(true).detectEvery(interval);
        try {
            note = "";
            return PoseSession.open(folder, options);
        } catch (EdgePoseException error) {
            if (error.code() != EdgePoseException.Code.INVALID_ARGUMENT) {
                throw error;
            }
            note = "\n" + getString(R.string.not_tracked) + " (" + error.getMessage() + ")";
            return PoseSession.open(folder, threads);
        }
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
            final PoseFrame shown = frame.copy();
            final String line = StatusLine.of(shown, rate.hz()) + note;
            final boolean mirror = front;
            runOnUiThread(new Runnable() {
                @Override
                public void run() {
                    overlay.show(shown, mirror);
                    status.setText(line);
                }
            });
        } catch (EdgePoseException error) {
            release();
            showFailure(error);
        }
    }

    @Override
    public void onFailure(final String message) {
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                status.setText(message);
            }
        });
    }

    private void showFailure(EdgePoseException error) {
        String hint = error.hint().isEmpty() ? "" : "\n" + error.hint();
        onFailure(error.code() + ": " + error.getMessage() + hint);
    }

    @Override
    public void onSurfaceTextureAvailable(SurfaceTexture texture, int width, int height) {
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            restart();
        }
    }

    @Override
    public void onSurfaceTextureSizeChanged(SurfaceTexture texture, int width, int height) {}

    @Override
    public boolean onSurfaceTextureDestroyed(SurfaceTexture texture) {
        stop();
        return true;
    }

    @Override
    public void onSurfaceTextureUpdated(SurfaceTexture texture) {}
}
