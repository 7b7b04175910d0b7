package dev.edgepose.demo.android;

import android.content.Context;
import android.graphics.Canvas;
import android.view.View;
import dev.edgepose.PoseFrame;

/** Shows the persons of one frame over the preview. */
final class OverlayView extends View {
    private SkeletonPainter painter;
    private PoseFrame frame;
    private boolean mirrored;

    OverlayView(Context context) {
        super(context);
    }

    void setPainter(SkeletonPainter next) {
        painter = next;
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
        if (frame != null && painter != null) {
            painter.draw(canvas, frame, getWidth(), getHeight(), mirrored);
        }
    }
}
