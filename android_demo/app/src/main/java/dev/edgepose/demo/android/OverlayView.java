package dev.edgepose.demo.android;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.view.View;
import dev.edgepose.PoseFrame;
import dev.edgepose.demo.OverlayGeometry;

/** Draws the skeletons of one frame. */
final class OverlayView extends View {
    private static final int[] COLOURS = {
        Color.rgb(0, 229, 255), Color.rgb(255, 193, 7), Color.rgb(118, 255, 3), Color.rgb(255, 64, 129)
    };

    private final Paint paint = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final OverlayGeometry geometry = new OverlayGeometry();
    private PoseFrame frame;
    private int[] skeleton = new int[0];
    private float threshold;
    private boolean mirrored;

    OverlayView(Context context) {
        super(context);
        paint.setStyle(Paint.Style.STROKE);
        paint.setStrokeCap(Paint.Cap.ROUND);
    }

    /** The skeleton and the score from which a point is drawn. */
    void setBundle(int[] pairs, float scoreThreshold) {
        skeleton = pairs;
        threshold = scoreThreshold;
        frame = null;
        invalidate();
    }

    /** Shows a frame; it must not change afterwards. */
    void show(PoseFrame next, boolean mirror) {
        frame = next;
        mirrored = mirror;
        invalidate();
    }

    @Override
    protected void onDraw(Canvas canvas) {
        if (frame == null || frame.widthPx() < 1) {
            return;
        }
        geometry.update(frame.widthPx(), frame.heightPx(), getWidth(), getHeight(), mirrored);
        for (int p = 0; p < frame.personCount(); p++) {
            int track = frame.trackId(p);
            paint.setColor(COLOURS[Math.floorMod(track < 0 ? p : track, COLOURS.length)]);
            paint.setStrokeWidth(3);
            float left = geometry.x(frame.boxX1Px(p));
            float right = geometry.x(frame.boxX2Px(p));
            canvas.drawRect(
                    Math.min(left, right), geometry.y(frame.boxY1Px(p)),
                    Math.max(left, right), geometry.y(frame.boxY2Px(p)), paint);
            paint.setStrokeWidth(8);
            for (int i = 0; i + 1 < skeleton.length; i += 2) {
                int from = skeleton[i];
                int to = skeleton[i + 1];
                if (frame.score(p, from) >= threshold && frame.score(p, to) >= threshold) {
                    canvas.drawLine(
                            geometry.x(frame.xPx(p, from)), geometry.y(frame.yPx(p, from)),
                            geometry.x(frame.xPx(p, to)), geometry.y(frame.yPx(p, to)), paint);
                }
            }
        }
    }
}
