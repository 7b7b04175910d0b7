package dev.edgepose.demo.android;

import android.Manifest;
import android.app.Activity;
import android.app.AlertDialog;
import android.content.ActivityNotFoundException;
import android.content.DialogInterface;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.SurfaceTexture;
import android.net.Uri;
import android.os.Bundle;
import android.view.Gravity;
import android.view.TextureView;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.FrameLayout;
import android.widget.LinearLayout;
import android.widget.TextView;
import android.widget.Toast;
import dev.edgepose.BundleInstaller;
import dev.edgepose.EdgePoseException;
import dev.edgepose.PoseFrame;
import dev.edgepose.demo.BundleChoices;
import dev.edgepose.demo.Names;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * Live poses from the camera; the screen is locked to portrait.
 *
 * <p>No lambdas in the app: the tool of scripts/build-apk.sh leaves them to a class that Android does not have.
 */
public final class MainActivity extends Activity
        implements TextureView.SurfaceTextureListener, View.OnClickListener, LivePoses.Listener {
    private static final int CAMERA_REQUEST = 1;
    private static final int STORAGE_REQUEST = 2;
    private static final int BUNDLE_REQUEST = 3;
    private static final int[] THREADS = {1, 2, 4, 8};
    private static final int[] INTERVALS = {1, 2, 5, 10};
    private static final int[][] BUTTONS = {
        {R.string.turn_camera, R.string.choose_bundle, R.string.snapshot},
        {R.string.choose_threads, R.string.choose_interval, R.string.benchmark},
    };

    private TextureView preview;
    private OverlayView overlay;
    private TextView status;
    private BundleChoices choices;
    private LivePoses poses;

    // Settings; changed on the main thread.
    private String bundle;
    private int threads = 4;
    private int interval = 5;
    private volatile boolean front;
    private volatile SkeletonPainter painter;

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
        File own = getExternalFilesDir("bundles");
        choices = new BundleChoices(
                new BundleInstaller(assets, new File(getFilesDir(), "bundles")),
                own == null ? new File(getFilesDir(), "own") : own);
        poses = new LivePoses(this, choices, this);
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
        LinearLayout rows = new LinearLayout(this);
        rows.setOrientation(LinearLayout.VERTICAL);
        for (int[] labels : BUTTONS) {
            LinearLayout row = new LinearLayout(this);
            for (int label : labels) {
                Button button = new Button(this);
                button.setId(label);
                button.setText(label);
                button.setOnClickListener(this);
                row.addView(button, new LinearLayout.LayoutParams(0, LinearLayout.LayoutParams.WRAP_CONTENT, 1));
            }
            rows.addView(row);
        }
        return rows;
    }

    @Override
    public void onClick(View button) {
        int id = button.getId();
        if (id == R.string.choose_bundle) {
            chooseBundle();
        } else if (id == R.string.choose_threads) {
            chooseThreads();
        } else if (id == R.string.choose_interval) {
            chooseInterval();
        } else if (id == R.string.snapshot) {
            takeSnapshot();
        } else if (id == R.string.benchmark) {
            measure();
        } else {
            front = !front;
            restart();
        }
    }

    private void chooseBundle() {
        List<String> names = new ArrayList<>();
        try {
            names.addAll(choices.names());
        } catch (EdgePoseException error) {
            onFailure(LivePoses.text(error));
        }
        names.add(getString(R.string.from_storage));
        final String[] items = names.toArray(new String[0]);
        choose(R.string.choose_bundle, items, new DialogInterface.OnClickListener() {
            @Override
            public void onClick(DialogInterface dialog, int which) {
                if (which == items.length - 1) {
                    pickBundle();
                } else {
                    bundle = items[which];
                    restart();
                }
            }
        });
    }

    private void pickBundle() {
        try {
            startActivityForResult(Documents.chooseBundle(), BUNDLE_REQUEST);
        } catch (ActivityNotFoundException error) {
            onFailure(getString(R.string.no_picker));
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

    private void takeSnapshot() {
        String permission = Manifest.permission.WRITE_EXTERNAL_STORAGE;
        if (PictureStore.needsPermission() && checkSelfPermission(permission) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(new String[] {permission}, STORAGE_REQUEST);
        } else {
            poses.takeSnapshot();
        }
    }

    private void measure() {
        if (bundle == null) {
            onFailure(getString(R.string.no_bundle));
            return;
        }
        try {
            startActivity(BenchmarkActivity.intent(this, choices.folder(bundle), threads));
        } catch (EdgePoseException error) {
            onFailure(LivePoses.text(error));
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request != BUNDLE_REQUEST || result != RESULT_OK || data == null || data.getData() == null) {
            return;
        }
        final Uri chosen = data.getData();
        new Thread("bundle") {
            @Override
            public void run() {
                try {
                    use(Documents.addBundle(getContentResolver(), chosen, choices));
                } catch (EdgePoseException error) {
                    tell(LivePoses.text(error));
                } catch (IOException | SecurityException error) {
                    tell(getString(R.string.no_file) + " " + error.getMessage());
                }
            }
        }.start();
    }

    private void use(final String name) {
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                bundle = name;
                restart();
            }
        });
    }

    private boolean mayUseCamera() {
        return checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED;
    }

    @Override
    protected void onResume() {
        super.onResume();
        if (mayUseCamera()) {
            restart();
        } else {
            status.setText(R.string.needs_camera);
            requestPermissions(new String[] {Manifest.permission.CAMERA}, CAMERA_REQUEST);
        }
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
        boolean granted = results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED;
        if (request == STORAGE_REQUEST) {
            if (granted) {
                poses.takeSnapshot();
            } else {
                tell(getString(R.string.no_storage));
            }
        } else if (granted) {
            restart();
        } else {
            status.setText(R.string.no_permission);
        }
    }

    @Override
    protected void onPause() {
        poses.stop();
        super.onPause();
    }

    private void restart() {
        if (preview.isAvailable() && mayUseCamera()) {
            poses.start(new LivePoses.Settings(bundle, threads, interval, front), preview.getSurfaceTexture());
        }
    }

    @Override
    public void onStarted(final String name, final SkeletonPainter next) {
        painter = next;
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                bundle = name;
                overlay.setPainter(next);
            }
        });
    }

    @Override
    public void onPoses(final PoseFrame frame, final String line) {
        final boolean mirror = front;
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                overlay.show(frame, mirror);
                status.setText(line);
            }
        });
    }

    @Override
    public void onSnapshot(int[] argb, PoseFrame frame) {
        Bitmap picture = Bitmap.createBitmap(
                argb, frame.widthPx(), frame.heightPx(), Bitmap.Config.ARGB_8888).copy(Bitmap.Config.ARGB_8888, true);
        painter.draw(new Canvas(picture), frame, picture.getWidth(), picture.getHeight(), false);
        String name = Names.snapshot(System.currentTimeMillis());
        try {
            PictureStore.add(getContentResolver(), picture, name);
            tell(getString(R.string.saved) + " " + name);
        } catch (IOException | SecurityException error) {
            tell(getString(R.string.not_saved) + " " + error.getMessage());
        }
    }

    /** A short message that the next frame does not overwrite. */
    private void tell(final String message) {
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                Toast.makeText(MainActivity.this, message, Toast.LENGTH_LONG).show();
            }
        });
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

    @Override
    public void onSurfaceTextureAvailable(SurfaceTexture texture, int width, int height) {
        restart();
    }

    @Override
    public void onSurfaceTextureSizeChanged(SurfaceTexture texture, int width, int height) {}

    @Override
    public boolean onSurfaceTextureDestroyed(SurfaceTexture texture) {
        poses.stop();
        return true;
    }

    @Override
    public void onSurfaceTextureUpdated(SurfaceTexture texture) {}
}
