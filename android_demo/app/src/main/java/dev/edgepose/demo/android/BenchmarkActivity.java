package dev.edgepose.demo.android;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Context;
import android.content.Intent;
import android.os.Build;
import android.os.Bundle;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.TextView;
import dev.edgepose.Benchmark;
import dev.edgepose.EdgePoseException;
import dev.edgepose.demo.Names;
import java.io.File;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;

/** Measures a bundle and keeps the result as JSON, in the app's own folder and where the user wants it. */
public final class BenchmarkActivity extends Activity implements View.OnClickListener, Benchmark.Listener {
    private static final String FOLDER = "folder";
    private static final String THREADS = "threads";
    private static final String RESULT = "result";
    private static final int SAVE_REQUEST = 1;
    private static final int[] BUTTONS = {
        R.string.bench_whole, R.string.bench_quick, R.string.bench_stop, R.string.bench_save
    };

    private TextView text;
    private Thread runner;
    private File result;
    private volatile boolean stopped;

    static Intent intent(Context context, File bundle, int threads) {
        return new Intent(context, BenchmarkActivity.class)
                .putExtra(FOLDER, bundle.getPath())
                .putExtra(THREADS, threads);
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        LinearLayout root = new LinearLayout(this);
        root.setOrientation(LinearLayout.VERTICAL);
        for (int label : BUTTONS) {
            Button button = new Button(this);
            button.setId(label);
            button.setText(label);
            button.setOnClickListener(this);
            root.addView(button);
        }
        text = new TextView(this);
        text.setPadding(24, 24, 24, 24);
        text.setTextIsSelectable(true);
        text.setText(new File(getIntent().getStringExtra(FOLDER)).getName() + "\n" + getString(R.string.bench_advice));
        root.addView(text);
        ScrollView scroll = new ScrollView(this);
        scroll.addView(root);
        setContentView(scroll);
        // The system may have ended the app while its file picker was in front.
        String kept = state == null ? null : state.getString(RESULT);
        if (kept != null) {
            result = new File(kept);
            text.append("\n" + result);
        }
        enable();
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        if (result != null) {
            state.putString(RESULT, result.getPath());
        }
    }

    private void enable() {
        boolean running = runner != null;
        findViewById(R.string.bench_whole).setEnabled(!running);
        findViewById(R.string.bench_quick).setEnabled(!running);
        findViewById(R.string.bench_stop).setEnabled(running);
        findViewById(R.string.bench_save).setEnabled(!running && result != null);
    }

    @Override
    public void onClick(View button) {
        if (button.getId() == R.string.bench_stop) {
            stopped = true;
        } else if (button.getId() == R.string.bench_save) {
            save();
        } else {
            start(button.getId() == R.string.bench_quick);
        }
    }

    private void start(final boolean quick) {
        final String folder = getIntent().getStringExtra(FOLDER);
        final int threads = getIntent().getIntExtra(THREADS, 1);
        final Map<String, String> device = new LinkedHashMap<>();
        device.put(Benchmark.NAME, Names.device(Build.MANUFACTURER, Build.MODEL));
        device.put(Benchmark.TITLE, Build.MANUFACTURER + " " + Build.MODEL);
        device.put("model", Build.MODEL);
        device.put("manufacturer", Build.MANUFACTURER);
        device.put("platform", Build.BOARD);
        device.put("system", Build.FINGERPRINT);
        device.put("android", Build.VERSION.RELEASE);
        File place = getExternalFilesDir("bench");
        final File file = new File(
                place == null ? new File(getFilesDir(), "bench") : place,
                Names.result(new File(folder).getName(), device.get(Benchmark.NAME), System.currentTimeMillis()));
        stopped = false;
        result = null;
        runner = new Thread("benchmark") {
            @Override
            public void run() {
                try {
                    String lines = Benchmark.run(folder, threads, quick, device, file, BenchmarkActivity.this);
                    finished(lines + "\n" + file, file);
                } catch (EdgePoseException error) {
                    finished(LivePoses.text(error), null);
                }
            }
        };
        runner.start();
        enable();
    }

    private void finished(final String message, final File written) {
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                runner = null;
                result = written;
                text.setText(message);
                enable();
            }
        });
    }

    @Override
    public boolean onProgress(String phase, long frames) {
        final String line = phase + ": " + frames;
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                text.setText(line);
            }
        });
        return !stopped;
    }

    private void save() {
        try {
            startActivityForResult(Documents.chooseResult(result.getName()), SAVE_REQUEST);
        } catch (ActivityNotFoundException error) {
            text.setText(getString(R.string.no_picker) + "\n" + result);
        }
    }

    @Override
    protected void onActivityResult(int request, int outcome, Intent data) {
        boolean chosen = request == SAVE_REQUEST && outcome == RESULT_OK && data != null && data.getData() != null;
        if (!chosen || result == null) {
            return;
        }
        try {
            Documents.copy(getContentResolver(), result, data.getData());
        } catch (IOException | SecurityException error) {
            text.setText(getString(R.string.not_saved) + " " + error.getMessage());
        }
    }

    /** A measurement ends with its screen: in the background the system slows the app down. */
    @Override
    protected void onStop() {
        stopped = true;
        super.onStop();
    }
}
