package dev.edgepose.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.awt.geom.AffineTransform;
import java.awt.geom.Point2D;
import org.junit.jupiter.api.Test;

class PreviewGeometryTest {
    private static final int[] TURNS = {0, 90, 180, 270};

    /** Where a point of a picture (its sides are 1) lies after a clockwise turn. */
    private static Point2D turned(Point2D point, int degrees) {
        return AffineTransform.getQuadrantRotateInstance(degrees / 90, 0.5, 0.5).transform(point, null);
    }

    private static Point2D mirrored(Point2D point, boolean mirror) {
        return mirror ? new Point2D.Double(1 - point.getX(), point.getY()) : point;
    }

    @Test
    void theTransformedPreviewLiesUnderTheOverlay() {
        Point2D point = new Point2D.Double(0.2, 0.1);
        for (boolean front : new boolean[] {false, true}) {
            for (int sensor : TURNS) {
                for (int display : TURNS) {
                    PreviewGeometry geometry = new PreviewGeometry(1280, 720, sensor, display, front);
                    int width = geometry.viewWidthPx(1080, 1920);
                    int height = geometry.viewHeightPx(1080, 1920);
                    // The system turns the buffer to the natural orientation and mirrors selfies there.
                    Point2D natural = mirrored(turned(point, sensor), front);
                    Point2D shown = new Point2D.Double(natural.getX() * width, natural.getY() * height);
                    AffineTransform matrix = AffineTransform.getRotateInstance(
                            Math.toRadians(geometry.turnDegrees()), width / 2.0, height / 2.0);
                    matrix.translate(width / 2.0, height / 2.0);
                    matrix.scale(geometry.scaleX(width, height), geometry.scaleY(width, height));
                    matrix.translate(-width / 2.0, -height / 2.0);
                    matrix.transform(shown, shown);
                    Point2D upright = mirrored(turned(point, geometry.rotationDegrees), geometry.front);
                    String what = "sensor " + sensor + ", display " + display + ", front " + front;
                    assertEquals(upright.getX() * width, shown.getX(), 1e-3, what);
                    assertEquals(upright.getY() * height, shown.getY(), 1e-3, what);
                }
            }
        }
    }

    @Test
    void theViewHasTheUprightShapeInsideItsRoom() {
        PreviewGeometry phone = new PreviewGeometry(1280, 720, 90, 0, false);
        assertEquals(1080, phone.viewWidthPx(1080, 2280));
        assertEquals(1920, phone.viewHeightPx(1080, 2280));
        PreviewGeometry square = new PreviewGeometry(640, 480, 270, 0, true);
        assertEquals(900, square.viewWidthPx(1000, 1200));
        assertEquals(1200, square.viewHeightPx(1000, 1200));
        // A tablet whose natural orientation is wide, held upright.
        PreviewGeometry tablet = new PreviewGeometry(1280, 720, 0, 90, false);
        assertEquals(270, tablet.rotationDegrees);
        assertEquals(900, tablet.viewWidthPx(1200, 1600));
        assertEquals(1600, tablet.viewHeightPx(1200, 1600));
        PreviewGeometry wide = new PreviewGeometry(1280, 720, 90, 90, false);
        assertEquals(1600, wide.viewWidthPx(1600, 1200));
        assertEquals(900, wide.viewHeightPx(1600, 1200));
        assertEquals(0, phone.viewWidthPx(0, 0));
        assertEquals(1, tablet.scaleX(0, 0));
        assertThrows(IllegalArgumentException.class, () -> new PreviewGeometry(0, 720, 90, 0, false));
    }
}
