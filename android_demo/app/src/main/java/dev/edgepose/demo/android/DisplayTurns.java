package dev.edgepose.demo.android;

import android.app.Activity;
import android.content.Context;
import android.hardware.display.DisplayManager;

/**
 * How far the display is turned. A half turn is no change of the configuration, so nothing else tells an activity of
 * it. Used on the main thread.
 */
final class DisplayTurns implements DisplayManager.DisplayListener {
    private final Activity activity;
    private final DisplayManager displays;
    private final Runnable onTurn;
    private int last;

    DisplayTurns(Activity activity, Runnable onTurn) {
        this.activity = activity;
        this.displays = (DisplayManager) activity.getSystemService(Context.DISPLAY_SERVICE);
        this.onTurn = onTurn;
    }

    void start() {
        last = degrees();
        displays.registerDisplayListener(this, null);
    }

    void stop() {
        displays.unregisterDisplayListener(this);
    }

    /** From its natural orientation: 0, 90, 180 or 270. */
    int degrees() {
        return 90 * activity.getWindowManager().getDefaultDisplay().getRotation();
    }

    @Override
    public void onDisplayChanged(int display) {
        int now = degrees();
        if (now != last) {
            last = now;
            onTurn.run();
        }
    }

    @Override
    public void onDisplayAdded(int display) {}

    @Override
    public void onDisplayRemoved(int display) {}
}
