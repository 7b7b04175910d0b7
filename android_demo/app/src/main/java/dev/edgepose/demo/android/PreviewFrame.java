package dev.edgepose.demo.android;

import android.content.Context;
import android.graphics.Matrix;
import android.view.TextureView;
import android.widget.FrameLayout;
import dev.edgepose.demo.PreviewGeometry;

/** The preview and the skeletons over it, upright and as large as the room allows in the picture's shape. */
final class PreviewFrame extends FrameLayout {
    final TextureView texture;
    final OverlayView overlay;
    private PreviewGeometry geometry = new PreviewGeometry(1280, 720, 90, 0, false);

    PreviewFrame(Context context) {
        super(context);
        texture = new TextureView(context);
        overlay = new OverlayView(context);
        addView(texture);
        addView(overlay);
    }

    PreviewGeometry geometry() {
        return geometry;
    }

    void setGeometry(PreviewGeometry next) {
        geometry = next;
        requestLayout();
    }

    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        int width = MeasureSpec.getSize(widthSpec);
        int height = MeasureSpec.getSize(heightSpec);
        super.onMeasure(
                MeasureSpec.makeMeasureSpec(geometry.viewWidthPx(width, height), MeasureSpec.EXACTLY),
                MeasureSpec.makeMeasureSpec(geometry.viewHeightPx(width, height), MeasureSpec.EXACTLY));
    }

    @Override
    protected void onLayout(boolean changed, int left, int top, int right, int bottom) {
        super.onLayout(changed, left, top, right, bottom);
        int width = right - left;
        int height = bottom - top;
        Matrix matrix = new Matrix();
        matrix.setScale(geometry.scaleX(width, height), geometry.scaleY(width, height), width / 2f, height / 2f);
        matrix.postRotate(geometry.turnDegrees(), width / 2f, height / 2f);
        texture.setTransform(matrix);
    }
}
