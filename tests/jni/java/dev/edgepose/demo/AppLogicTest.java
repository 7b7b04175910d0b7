package dev.edgepose.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgepose.BundleInstaller;
import dev.edgepose.CameraFrame;
import dev.edgepose.EdgePoseException;
import dev.edgepose.PoseSession;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AppLogicTest {
    @Test
    void thePictureIsFittedCentredAndMirrored() {
        OverlayGeometry geometry = new OverlayGeometry();
        geometry.update(720, 1280, 1080, 2280, false);
        assertEquals(1.5f, geometry.scale());
        assertEquals(0, geometry.x(0));
        assertEquals(1080, geometry.x(720));
        assertEquals(180, geometry.y(0));
        assertEquals(2100, geometry.y(1280));
        geometry.update(720, 1280, 1080, 2280, true);
        assertEquals(1080, geometry.x(0));
        assertEquals(930, geometry.x(100));
        geometry.update(100, 100, 400, 200, false);
        assertEquals(100, geometry.x(0));
        assertEquals(300, geometry.x(100));
        assertThrows(IllegalArgumentException.class, () -> geometry.update(0, 1, 1, 1, false));
    }

    @Test
    void theTurnFollowsSensorDisplayAndSide() {
        assertEquals(90, CameraRotation.degrees(90, 0, false));
        assertEquals(0, CameraRotation.degrees(90, 90, false));
        assertEquals(180, CameraRotation.degrees(90, 270, false));
        assertEquals(270, CameraRotation.degrees(270, 0, true));
        assertEquals(0, CameraRotation.degrees(270, 90, true));
    }

    @Test
    void theSizeNearestToTheWantedOneIsTaken() {
        int[] sides = {4032, 3024, 1920, 1080, 1280, 720, 640, 480};
        assertEquals(2, PictureSizes.nearest(sides, 1280, 720));
        assertEquals(3, PictureSizes.nearest(sides, 320, 240));
        assertEquals(-1, PictureSizes.nearest(new int[0], 1, 1));
    }

    @Test
    void theRateIsThatOfTheLastFrames() {
        FrameRate rate = new FrameRate();
        assertEquals(0, rate.hz());
        rate.add(0);
        assertEquals(0, rate.hz());
        for (int i = 1; i <= 100; i++) {
            rate.add(i * 40_000_000L);
        }
        assertEquals(25, rate.hz(), 1e-3);
        rate.clear();
        assertEquals(0, rate.hz());
    }

    private static BundleInstaller.Source assets(String index) {
        return name -> {
            if (!name.equals(BundleInstaller.INDEX) || index == null) {
                throw new FileNotFoundException(name);
            }
            return new ByteArrayInputStream(index.getBytes(StandardCharsets.UTF_8));
        };
    }

    @Test
    void pushedBundlesComeFirst(@TempDir Path folder) throws IOException {
        File pushed = folder.resolve("pushed").toFile();
        String zeros = new String(new char[64]).replace('\0', '0');
        BundleInstaller installer = new BundleInstaller(
                assets(zeros + " 1 inside/a\n" + zeros + " 1 mine/a\n"), folder.resolve("own").toFile());
        assertEquals(Arrays.asList("inside", "mine"), new BundleChoices(installer, pushed).names());
        Files.createDirectories(folder.resolve("pushed/mine"));
        Files.createDirectories(folder.resolve("pushed/half"));
        Files.createFile(folder.resolve("pushed/mine/bundle.json"));
        BundleChoices choices = new BundleChoices(installer, pushed);
        assertEquals(Arrays.asList("mine", "inside"), choices.names());
        assertEquals(new File(pushed, "mine"), choices.folder("mine"));
        assertThrows(EdgePoseException.class, () -> choices.folder("inside"));
        BundleInstaller none = new BundleInstaller(assets(null), folder.resolve("own").toFile());
        assertEquals(Collections.singletonList("mine"), new BundleChoices(none, pushed).names());
        assertThrows(EdgePoseException.class, () -> new BundleChoices(none, null).names());
    }

    @Test
    void theStatusLineCountsPersons() {
        String bundle = System.getProperty("edgepose.tests") + "/bundles/v1/pose";
        try (PoseSession session = PoseSession.open(bundle, 1)) {
            CameraFrame picture = new CameraFrame().bgr(ByteBuffer.allocateDirect(64 * 48 * 3), 64, 48, 192);
            String line = StatusLine.of(session.process(picture), 29.96f);
            assertTrue(line.startsWith("30.0 frames/s   1 person   detector 0.0 ms"), line);
        }
    }
}
