package dev.edgepose.demo.android;

import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import dev.edgepose.PoseFrame;
import dev.edgepose.demo.OverlayGeometry;

/** Draws the persons of one frame, their points too, on the screen and on pictures. */
final class SkeletonPainter {
    private static final int[] COLOURS = {
        Color.rgb(0, 229, 255), Color.rgb(255, 193, 7), Color.rgb(118, 255, 3), Color.rgb(255, 64, 129)
    };

    private final Paint paint = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final OverlayGeometry geometry = new OverlayGeometry();
    private final int[] skeleton;
    private final float threshold;

    /** The skeleton as pairs of keypoints, and the score from which a point is drawn. */
    SkeletonPainter(int[] skeleton, float threshold) {
        this.skeleton = skeleton;
        this.threshold = threshold;
        paint.setStyle(Paint.Style.STROKE);
        paint.setStrokeCap(Paint.Cap.ROUND);
    }

    /** Fits the frame's picture into width x height pixels; the screen and a snapshot may be drawn at once. */
    synchronized void draw(Canvas canvas, PoseFrame frame, int width, int height, boolean mirrored) {
        if (frame.widthPx() < 1) {
            return;
        }
        geometry.update(frame.widthPx(), frame.heightPx(), width, height, mirrored);
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
                if (seen(frame, p, from) && seen(frame, p, to)) {
                    canvas.drawLine(
                            geometry.x(frame.xPx(p, from)), geometry.y(frame.yPx(p, from)),
                            geometry.x(frame.xPx(p, to)), geometry.y(frame.yPx(p, to)), paint);
                }
            }
            // Many networks' points have no skeleton.
            for (int k = 0; k < frame.keypointCount(); k++) {
                if (seen(frame, p, k)) {
                    canvas.drawPoint(geometry.x(frame.xPx(p, k)), geometry.y(frame.yPx(p, k)), paint);
                }
            }
        }
    }

    private boolean seen(PoseFrame frame, int person, int keypoint) {
        float score = frame.score(person, keypoint);
        return score > 0 && score >= threshold;
    }
}
