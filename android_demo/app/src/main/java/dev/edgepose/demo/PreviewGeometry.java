package dev.edgepose.demo;

/**
 * How a camera's pictures lie on the screen. A texture view shows them as the display's natural orientation has them,
 * stretched to its own size; scaled and then turned about its centre, against the display, they fill it upright.
 */
public final class PreviewGeometry {
    /** As the camera delivers it. */
    public final int bufferWidthPx;

    public final int bufferHeightPx;
    /** The picture's turn to upright, clockwise: 0, 90, 180 or 270. */
    public final int rotationDegrees;
    /** A selfie, which the preview shows mirrored. */
    public final boolean front;

    private final int displayDegrees;

    /** The angles as in {@link CameraRotation#degrees}. */
    public PreviewGeometry(
            int bufferWidthPx, int bufferHeightPx, int sensorDegrees, int displayDegrees, boolean front) {
        if (bufferWidthPx < 1 || bufferHeightPx < 1) {
            throw new IllegalArgumentException("a picture of " + bufferWidthPx + " x " + bufferHeightPx);
        }
        this.bufferWidthPx = bufferWidthPx;
        this.bufferHeightPx = bufferHeightPx;
        this.rotationDegrees = CameraRotation.degrees(sensorDegrees, displayDegrees, front);
        this.front = front;
        this.displayDegrees = displayDegrees;
    }

    /** The width of the largest view of the upright picture's shape in this room. */
    public int viewWidthPx(int roomWidthPx, int roomHeightPx) {
        return (int) Math.min(roomWidthPx, (long) roomHeightPx * uprightWidth() / uprightHeight());
    }

    public int viewHeightPx(int roomWidthPx, int roomHeightPx) {
        return (int) Math.min(roomHeightPx, (long) roomWidthPx * uprightHeight() / uprightWidth());
    }

    /** The texture view's scale along x about its centre, before its turn. */
    public float scaleX(int viewWidthPx, int viewHeightPx) {
        return turnsSides(displayDegrees) && viewWidthPx > 0 ? (float) viewHeightPx / viewWidthPx : 1;
    }

    public float scaleY(int viewWidthPx, int viewHeightPx) {
        return turnsSides(displayDegrees) && viewHeightPx > 0 ? (float) viewWidthPx / viewHeightPx : 1;
    }

    /** The texture view's turn about its centre, clockwise. */
    public float turnDegrees() {
        return Math.floorMod(-displayDegrees, 360);
    }

    private int uprightWidth() {
        return turnsSides(rotationDegrees) ? bufferHeightPx : bufferWidthPx;
    }

    private int uprightHeight() {
        return turnsSides(rotationDegrees) ? bufferWidthPx : bufferHeightPx;
    }

    private static boolean turnsSides(int degrees) {
        return degrees % 180 != 0;
    }
}
