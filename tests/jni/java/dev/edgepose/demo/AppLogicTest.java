package dev.edgepose.demo;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgepose.BundleInstaller;
import dev.edgepose.CameraFrame;
import dev.edgepose.EdgePoseException;
import dev.edgepose.PoseSession;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AppLogicTest {
    @Test
    void thePictureIsFittedCentredAndMirrored() {
        OverlayGeometry geometry = new OverlayGeometry();
        geometry.update(720, 1280, 1080, 2280, false);
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
        Files.createDirectories(folder.resolve("pushed/.mine.part"));
        Files.createFile(folder.resolve("pushed/.mine.part/bundle.json"));
        BundleChoices choices = new BundleChoices(installer, pushed);
        assertEquals(Arrays.asList("mine", "inside"), choices.names());
        assertEquals("mine", choices.chosen(null));
        assertEquals("inside", choices.chosen("inside"));
        assertEquals(new File(pushed, "mine"), choices.folder("mine"));
        assertThrows(EdgePoseException.class, () -> choices.folder("inside"));
        BundleInstaller none = new BundleInstaller(assets(null), folder.resolve("own").toFile());
        assertEquals(Collections.singletonList("mine"), new BundleChoices(none, pushed).names());
        File absent = folder.resolve("absent").toFile();
        assertThrows(EdgePoseException.class, () -> new BundleChoices(none, absent).names());
        BundleInstaller empty = new BundleInstaller(assets(""), folder.resolve("own").toFile());
        assertNull(new BundleChoices(empty, absent).chosen(null));
    }

    @Test
    void aBundleFromTheStorageIsAddedVerified(@TempDir Path folder) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        File bundle = new File(System.getProperty("edgepose.tests") + "/bundles/v1/pose");
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            for (File file : bundle.listFiles()) {
                zip.putNextEntry(new ZipEntry("pose/" + file.getName()));
                zip.write(Files.readAllBytes(file.toPath()));
            }
        }
        byte[] archive = bytes.toByteArray();
        File own = folder.resolve("own").toFile();
        BundleChoices choices = new BundleChoices(
                new BundleInstaller(assets(null), folder.resolve("inside").toFile()), own);
        assertEquals("my_model.ncnn.fp16", choices.add(new ByteArrayInputStream(archive), "my model.ncnn.fp16.ZIP"));
        assertEquals(Collections.singletonList("my_model.ncnn.fp16"), choices.names());
        PoseSession.open(choices.folder("my_model.ncnn.fp16").getPath(), 1).close();
        byte[] half = Arrays.copyOf(archive, archive.length / 2);
        for (String name : new String[] {"my model.ncnn.fp16.zip", "../../evil.zip"}) {
            assertThrows(EdgePoseException.class, () -> choices.add(new ByteArrayInputStream(half), name));
        }
        assertEquals(Collections.singletonList("my_model.ncnn.fp16"), choices.names());
        PoseSession.open(choices.folder("my_model.ncnn.fp16").getPath(), 1).close();
    }

    @Test
    void namesHoldWhatAFileSystemTakes() {
        assertEquals("rtmdet-nano+rtmpose-s.ncnn.fp16", Names.bundle("rtmdet-nano+rtmpose-s.ncnn.fp16.zip"));
        assertEquals("_.._evil", Names.bundle("../../evil.zip"));
        assertEquals("bundle", Names.bundle(".zip"));
        assertEquals("bundle", Names.bundle(null));
        assertEquals("bundle", Names.bundle("..."));
        assertEquals("google-pixel-8-pro", Names.device("Google", "Pixel 8 Pro"));
        assertEquals("phone", Names.device("", "\u624B\u673A"));
        assertEquals(64, Names.device("x", new String(new char[99]).replace('\0', 'y')).length());
        assertEquals("b@d.20260102T030405006Z.json", Names.result("b", "d", 1767323045006L));
        assertEquals("edgepose-20260102-030405-006.png", Names.snapshot(1767323045006L));
    }

    @Test
    void aSnapshotHasTheColoursAndTheTurnOfThePicture() {
        // 4 x 2 pixels with padding; the left two columns are red, the right two blue.
        ByteBuffer y = ByteBuffer.wrap(new byte[] {76, 76, 29, 29, 9, 9, 76, 76, 29, 29, 9, 9});
        ByteBuffer u = ByteBuffer.wrap(new byte[] {85, 0, (byte) 255, 0});
        ByteBuffer v = ByteBuffer.wrap(new byte[] {(byte) 255, 0, 107, 0});
        int red = 0xFFFE0000;
        int blue = 0xFF0000FE;
        int[] plain = YuvPixels.argb(y, u, v, 4, 2, 6, 4, 2, 0);
        assertArrayEquals(new int[] {red, red, blue, blue, red, red, blue, blue}, plain);
        int[] turned = {red, red, red, red, blue, blue, blue, blue};
        assertArrayEquals(turned, YuvPixels.argb(y, u, v, 4, 2, 6, 4, 2, 90));
        assertArrayEquals(
                new int[] {blue, blue, red, red, blue, blue, red, red}, YuvPixels.argb(y, u, v, 4, 2, 6, 4, 2, 180));
        assertArrayEquals(
                new int[] {blue, blue, blue, blue, red, red, red, red}, YuvPixels.argb(y, u, v, 4, 2, 6, 4, 2, 270));
        // Every pixel of a quarter turn: the left lower corner comes to the left upper one.
        ByteBuffer steps = ByteBuffer.wrap(new byte[] {0, 10, 20, 30, 40, 50, 60, 70});
        ByteBuffer grey = ByteBuffer.wrap(new byte[] {(byte) 128, (byte) 128});
        int[] levels = YuvPixels.argb(steps, grey, grey, 4, 2, 4, 2, 1, 90);
        int[] expected = {40, 0, 50, 10, 60, 20, 70, 30};
        for (int i = 0; i < 8; i++) {
            assertEquals(0xFF000000 | expected[i] * 0x010101, levels[i]);
        }
    }

    @Test
    void aSnapshotHasTheColoursOfEveryRow() {
        // 4 x 4 pixels, every plane with a padding of its own; the upper two rows are red, the lower two blue.
        ByteBuffer y = ByteBuffer.wrap(new byte[] {
            76, 76, 76, 76, 9, 9, 76, 76, 76, 76, 9, 9, 29, 29, 29, 29, 9, 9, 29, 29, 29, 29, 9, 9
        });
        ByteBuffer u = ByteBuffer.wrap(new byte[] {85, 0, 85, 0, 0, (byte) 255, 0, (byte) 255, 0, 0});
        ByteBuffer v = ByteBuffer.wrap(new byte[] {(byte) 255, 0, (byte) 255, 0, 0, 107, 0, 107, 0, 0});
        int red = 0xFFFE0000;
        int blue = 0xFF0000FE;
        int[] plain = {red, red, red, red, red, red, red, red, blue, blue, blue, blue, blue, blue, blue, blue};
        assertArrayEquals(plain, YuvPixels.argb(y, u, v, 4, 4, 6, 5, 2, 0));
        int[] turned = {blue, blue, red, red, blue, blue, red, red, blue, blue, red, red, blue, blue, red, red};
        assertArrayEquals(turned, YuvPixels.argb(y, u, v, 4, 4, 6, 5, 2, 90));
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
