package dev.edgepose.demo;

/** The clockwise turn that makes a camera's buffers upright. */
public final class CameraRotation {
    private CameraRotation() {}

    /**
     * sensorDegrees is CameraCharacteristics.SENSOR_ORIENTATION; displayDegrees is how far the display is turned
     * from its natural orientation, counter-clockwise, as Display.getRotation() counts.
     */
    public static int degrees(int sensorDegrees, int displayDegrees, boolean frontCamera) {
        int turn = frontCamera ? sensorDegrees + displayDegrees : sensorDegrees - displayDegrees;
        return Math.floorMod(turn, 360);
    }
}
