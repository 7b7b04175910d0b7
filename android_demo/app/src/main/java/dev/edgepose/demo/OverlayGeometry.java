package dev.edgepose.demo;

/** Where points of the upright picture lie on a view that shows it fitted, centred and, for selfies, mirrored. */
public final class OverlayGeometry {
    private float scale = 1;
    private float offsetX;
    private float offsetY;
    private int pictureWidth;
    private boolean mirrored;

    public void update(int pictureWidthPx, int pictureHeightPx, int viewWidthPx, int viewHeightPx, boolean mirror) {
        if (pictureWidthPx < 1 || pictureHeightPx < 1) {
            throw new IllegalArgumentException("a picture of " + pictureWidthPx + " x " + pictureHeightPx);
        }
        scale = Math.min((float) viewWidthPx / pictureWidthPx, (float) viewHeightPx / pictureHeightPx);
        offsetX = (viewWidthPx - scale * pictureWidthPx) / 2;
        offsetY = (viewHeightPx - scale * pictureHeightPx) / 2;
        pictureWidth = pictureWidthPx;
        mirrored = mirror;
    }

    public float x(float pictureX) {
        return offsetX + scale * (mirrored ? pictureWidth - pictureX : pictureX);
    }

    public float y(float pictureY) {
        return offsetY + scale * pictureY;
    }
}
