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
import dev.edgepose.demo.PreviewGeometry;
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
    private static final String ASKED = "asked";
    private static final String BUNDLE = "bundle";
    private static final String THREAD_COUNT = "threads";
    private static final String INTERVAL = "interval";
    private static final String FRONT = "front";
    private static final int[] THREADS = {1, 2, 4, 8};
    private static final int[] INTERVALS = {1, 2, 5, 10};
    private static final int[][] BUTTONS = {
        {R.string.turn_camera, R.string.choose_bundle, R.string.snapshot},
        {R.string.choose_threads, R.string.choose_interval, R.string.benchmark},
    };

    private PreviewFrame preview;
    private TextView status;
    private BundleChoices choices;
    private LivePoses poses;
    private DisplayTurns turns;
    private boolean resumed;
    // Once for each time without the permission: every answer, a denial too, resumes the app again.
    private boolean asked;

    // Settings.
    private String bundle;
    private int threads = 4;
    private int interval = 5;
    private boolean front;

    // Of the newest worker, and written by it.
    private volatile SkeletonPainter painter;
    private volatile boolean mirrored;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        if (state != null) {
            asked = state.getBoolean(ASKED);
            bundle = state.getString(BUNDLE);
            threads = state.getInt(THREAD_COUNT, threads);
            interval = state.getInt(INTERVAL, interval);
            front = state.getBoolean(FRONT);
        }
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
        turns = new DisplayTurns(this, new Runnable() {
            @Override
            public void run() {
                restart();
            }
        });
        preview = new PreviewFrame(this);
        preview.texture.setSurfaceTextureListener(this);
        status = new TextView(this);
        status.setTextColor(Color.WHITE);
        status.setBackgroundColor(Color.argb(160, 0, 0, 0));
        status.setPadding(24, 24, 24, 24);
        FrameLayout root = new FrameLayout(this);
        root.setBackgroundColor(Color.BLACK);
        root.addView(preview, new FrameLayout.LayoutParams(
                FrameLayout.LayoutParams.WRAP_CONTENT, FrameLayout.LayoutParams.WRAP_CONTENT, Gravity.CENTER));
        root.addView(status, new FrameLayout.LayoutParams(
                FrameLayout.LayoutParams.MATCH_PARENT, FrameLayout.LayoutParams.WRAP_CONTENT, Gravity.TOP));
        root.addView(buttons(), new FrameLayout.LayoutParams(
                FrameLayout.LayoutParams.MATCH_PARENT, FrameLayout.LayoutParams.WRAP_CONTENT, Gravity.BOTTOM));
        setContentView(root);
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putBoolean(ASKED, asked);
        state.putString(BUNDLE, bundle);
        state.putInt(THREAD_COUNT, threads);
        state.putInt(INTERVAL, interval);
        state.putBoolean(FRONT, front);
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
            chooseNumber(id, THREADS);
        } else if (id == R.string.choose_interval) {
            chooseNumber(id, INTERVALS);
        } else if (id == R.string.snapshot) {
            // Else the next frame, whenever the camera runs again, would be one that nobody asked for.
            if (poses.isRunning()) {
                takeSnapshot();
            }
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
                    change(items[which]);
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

    private void chooseNumber(final int what, final int[] values) {
        String[] labels = new String[values.length];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = String.valueOf(values[i]);
        }
        choose(what, labels, new DialogInterface.OnClickListener() {
            @Override
            public void onClick(DialogInterface dialog, int which) {
                if (what == R.string.choose_threads) {
                    threads = values[which];
                } else {
                    interval = values[which];
                }
                restart();
            }
        });
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

    /** Needs no camera. A bundle that was never loaded is unpacked first. */
    private void measure() {
        final String wanted = bundle;
        final int count = threads;
        new Thread("measure") {
            @Override
            public void run() {
                try {
                    String name = choices.chosen(wanted);
                    if (name == null) {
                        tell(getString(R.string.no_bundle));
                    } else {
                        startActivity(BenchmarkActivity.intent(MainActivity.this, choices.folder(name), count));
                    }
                } catch (EdgePoseException error) {
                    tell(LivePoses.text(error));
                }
            }
        }.start();
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
                change(name);
            }
        });
    }

    private void change(String name) {
        bundle = name;
        restart();
    }

    private boolean mayUseCamera() {
        return checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED;
    }

    @Override
    protected void onResume() {
        super.onResume();
        resumed = true;
        turns.start();
        if (mayUseCamera()) {
            asked = false; // what was allowed for one time only is asked for again
            restart();
        } else if (asked) {
            status.setText(R.string.no_permission);
        } else {
            asked = true;
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
            // Mostly the answer comes before onResume(), which starts then.
            if (!poses.isRunning()) {
                restart();
            }
        } else {
            status.setText(R.string.no_permission);
        }
    }

    @Override
    protected void onPause() {
        resumed = false;
        turns.stop();
        poses.stop();
        // Whoever comes back later did not ask for a picture of that moment.
        poses.dropSnapshot();
        super.onPause();
    }

    /** Not while the app is in the background: onResume() comes with what has changed meanwhile. */
    private void restart() {
        if (resumed && preview.texture.isAvailable() && mayUseCamera()) {
            poses.start(
                    new LivePoses.Settings(bundle, threads, interval, front, turns.degrees()),
                    preview.texture.getSurfaceTexture());
        }
    }

    @Override
    public void onStarted(final String name, final SkeletonPainter next) {
        painter = next;
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                // Another one may have been chosen since.
                if (bundle == null || bundle.equals(name)) {
                    bundle = name;
                    preview.overlay.setPainter(next);
                }
            }
        });
    }

    @Override
    public void onCamera(final PreviewGeometry geometry) {
        mirrored = geometry.front;
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                preview.setGeometry(geometry);
            }
        });
    }

    @Override
    public void onPoses(final PoseFrame frame, final String line) {
        final boolean mirror = mirrored;
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                preview.overlay.show(frame, mirror);
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
        } catch (IOException | RuntimeException error) { // the store of pictures throws whatever its database does
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
    public void onSurfaceTextureSizeChanged(SurfaceTexture texture, int width, int height) {
        // The view has just given its own size to the camera's pictures.
        PreviewGeometry geometry = preview.geometry();
        texture.setDefaultBufferSize(geometry.bufferWidthPx, geometry.bufferHeightPx);
    }

    @Override
    public boolean onSurfaceTextureDestroyed(SurfaceTexture texture) {
        poses.stop(texture);
        return false;
    }

    @Override
    public void onSurfaceTextureUpdated(SurfaceTexture texture) {}
}
