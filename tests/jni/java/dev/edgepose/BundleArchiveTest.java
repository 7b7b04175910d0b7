package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgepose.EdgePoseException.Code;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileDescriptor;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BundleArchiveTest {
    @TempDir
    Path folder;

    private final Map<String, byte[]> files = new LinkedHashMap<>();
    private File target;

    @BeforeEach
    void pack() throws IOException {
        for (File file : new File(Bundles.path("pose")).listFiles()) {
            files.put("pose/" + file.getName(), Files.readAllBytes(file.toPath()));
        }
        target = folder.resolve("own/pose").toFile();
    }

    private byte[] zip() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            for (Map.Entry<String, byte[]> file : files.entrySet()) {
                zip.putNextEntry(new ZipEntry(file.getKey()));
                zip.write(file.getValue());
            }
        }
        return bytes.toByteArray();
    }

    private EdgePoseException assertRefused(Code code, byte[] archive) {
        EdgePoseException error =
                assertFails(code, () -> BundleArchive.unpack(new ByteArrayInputStream(archive), target));
        assertFalse(target.exists());
        String[] left = target.getParentFile().list();
        assertTrue(left == null || left.length == 0, () -> Arrays.toString(left));
        return error;
    }

    @Test
    void aBundleIsOpenedByFileDescriptor() throws IOException {
        byte[] archive = zip();
        Path file = folder.resolve("asset.bin");
        byte[] around = new byte[archive.length + 1000];
        System.arraycopy(archive, 0, around, 700, archive.length);
        Files.write(file, around);
        SessionOptions options = new SessionOptions();
        try (RandomAccessFile open = new RandomAccessFile(file.toFile(), "r")) {
            open.seek(5);
            FileDescriptor descriptor = open.getFD();
            try (PoseSession session = PoseSession.open(descriptor, 700, archive.length, target, options)) {
                assertTrue(session.verify());
                assertEquals("fake", session.backend());
            }
            assertEquals(5, open.getFilePointer(), "the position is the caller's");
            PoseSession.open(descriptor, 700, -1, target, options).close();
            long[][] parts = {{-1, 10}, {0, -2}, {0, around.length + 1}, {around.length + 1, -1}, {1, Long.MAX_VALUE}};
            for (long[] part : parts) {
                assertFails(
                        Code.INVALID_ARGUMENT,
                        () -> PoseSession.open(descriptor, part[0], part[1], target, options));
            }
            assertFails(Code.INVALID_BUNDLE, () -> PoseSession.open(descriptor, 0, -1, target, options));
            // The file goes on behind the part: nothing of that is read.
            int half = archive.length / 2;
            assertFails(Code.INVALID_BUNDLE, () -> PoseSession.open(descriptor, 700, half, target, options));
            assertTrue(new File(target, "bundle.json").isFile(), "a failure leaves the bundle of before");
        }
        Path whole = folder.resolve("whole.zip");
        Files.write(whole, archive);
        RandomAccessFile closed = new RandomAccessFile(whole.toFile(), "r");
        PoseSession.open(closed.getFD(), 0, -1, target, options).close();
        closed.close();
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(closed.getFD(), 0, -1, target, options));
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(new FileDescriptor(), 0, -1, target, options));
        assertFails(Code.INVALID_ARGUMENT, () -> PoseSession.open(null, 0, -1, target, options));
        try (RandomAccessFile device = new RandomAccessFile("/dev/null", "r")) {
            FileDescriptor empty = device.getFD();
            assertFails(Code.INVALID_BUNDLE, () -> PoseSession.open(empty, 0, -1, target, options));
        }
    }

    /** A provider may answer with one; read as a file it would look empty. */
    @Test
    void aPipeIsNoFile() throws IOException, InterruptedException {
        SessionOptions options = new SessionOptions();
        Path pipe = folder.resolve("pipe");
        assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
        try (RandomAccessFile open = new RandomAccessFile(pipe.toFile(), "rw")) {
            FileDescriptor descriptor = open.getFD();
            EdgePoseException error = assertThrows(
                    EdgePoseException.class, () -> PoseSession.open(descriptor, 0, -1, target, options));
            assertEquals(Code.INVALID_ARGUMENT, error.code());
            assertTrue(error.hint().contains("through its InputStream"), error.hint());
        }
    }

    @Test
    void anInterruptedUnpackingSaysSo() throws IOException {
        Path whole = folder.resolve("whole.zip");
        Files.write(whole, zip());
        try (RandomAccessFile open = new RandomAccessFile(whole.toFile(), "r")) {
            FileDescriptor descriptor = open.getFD();
            Thread.currentThread().interrupt();
            EdgePoseException error = assertThrows(
                    EdgePoseException.class, () -> BundleArchive.unpack(descriptor, 0, -1, target));
            assertTrue(Thread.interrupted(), "the thread stays interrupted");
            assertTrue(error.getMessage().endsWith("was interrupted"), error.getMessage());
        }
    }

    @Test
    void aPartOfAFileIsReadByteByByte() throws IOException {
        Path file = folder.resolve("bytes");
        Files.write(file, new byte[] {1, -1, 0, 7, 9});
        try (RandomAccessFile open = new RandomAccessFile(file.toFile(), "r")) {
            InputStream part = new DescriptorStream(open.getFD(), 1, 3);
            int[] read = {part.read(), part.read(), part.read(), part.read()};
            assertArrayEquals(new int[] {255, 0, 7, -1}, read);
        }
    }

    @Test
    void filesAtTheTopAndInAFolderAreTaken() throws IOException {
        files.put("pose/", new byte[0]);
        BundleArchive.unpack(new ByteArrayInputStream(zip()), target);
        byte[] first = Files.readAllBytes(new File(target, "bundle.json").toPath());
        assertArrayEquals(files.get("pose/bundle.json"), first);
        files.remove("pose/");
        Map<String, byte[]> flat = new LinkedHashMap<>();
        files.forEach((name, bytes) -> flat.put(name.substring(5), bytes));
        files.clear();
        files.putAll(flat);
        BundleArchive.unpack(new ByteArrayInputStream(zip()), target);
        assertArrayEquals(new String[] {"pose"}, target.getParentFile().list());
        PoseSession.open(target.getPath(), 1).close();
    }

    @Test
    void everyTruncationIsRefused() throws IOException {
        byte[] archive = zip();
        // Behind the last file come only directory entries, which a stream does not need.
        int data = new String(archive, StandardCharsets.ISO_8859_1).indexOf("PK\1\2");
        for (int bytes = 0; bytes < data; bytes += 97) {
            EdgePoseException error = assertRefused(Code.INVALID_BUNDLE, Arrays.copyOf(archive, bytes));
            assertFalse(error.hint().isEmpty());
        }
    }

    @Test
    void damageIsFound() throws IOException {
        byte[] archive = zip();
        archive[archive.length / 3] ^= 64;
        assertThrows(EdgePoseException.class, () -> BundleArchive.unpack(new ByteArrayInputStream(archive), target));
        assertFalse(target.exists());
        files.get("pose/tiny-pose.fake")[0] ^= 1;
        assertRefused(Code.CHECKSUM_MISMATCH, zip());
        files.remove("pose/tiny-pose.fake");
        assertRefused(Code.INVALID_BUNDLE, zip());
        assertRefused(Code.INVALID_BUNDLE, "no archive at all, but long enough to hold a header".getBytes());
    }

    @Test
    void aBundleOfAnEngineThatIsNotHereIsRefused() throws Exception {
        Path other = Bundles.edited("pose", folder, text -> text
                .replace("\"backend\": \"fake\"", "\"backend\": \"openvino\"")
                .replace("\"fake\": \"tiny-pose.fake\"", "\"xml\": \"golden.bgr\", \"bin\": \"tiny-pose.fake\""));
        for (File file : other.toFile().listFiles()) {
            files.put("pose/" + file.getName(), Files.readAllBytes(file.toPath()));
        }
        EdgePoseException error = assertRefused(Code.UNSUPPORTED, zip());
        assertTrue(error.getMessage().contains("openvino"), error.getMessage());
        assertFalse(error.hint().isEmpty());
    }

    @Test
    void noFileLeavesTheFolder() throws IOException {
        for (String name : new String[] {
            "../evil", "pose/../evil", "pose/../../evil", "/evil", "pose//evil", "pose/a/evil", "other/evil", "evil",
            "pose/..\\evil", "pose/.hidden", "..", "../", "pose/..", "C:\\evil", "pose/a\0b"
        }) {
            files.put(name, new byte[] {1});
            EdgePoseException error = assertRefused(Code.INVALID_BUNDLE, zip());
            assertFalse(error.getMessage().isEmpty(), name);
            files.remove(name);
        }
        assertEquals(0, Files.walk(folder).filter(path -> path.toString().contains("evil")).count());
        files.put("pose/more.bin", new byte[] {1});
        assertTrue(assertRefused(Code.INVALID_BUNDLE, zip()).getMessage().contains("more.bin"));
    }

    @Test
    void thingsThatAreNoBundlesAreNotReplaced() throws IOException {
        Files.createDirectories(target.toPath());
        Files.write(target.toPath().resolve("mine.txt"), new byte[] {1});
        byte[] archive = zip();
        assertFails(
                Code.INVALID_ARGUMENT, () -> BundleArchive.unpack(new ByteArrayInputStream(archive), target));
        assertTrue(target.toPath().resolve("mine.txt").toFile().exists());
        File file = folder.resolve("a file").toFile();
        Files.write(file.toPath(), new byte[] {1});
        assertFails(Code.INVALID_ARGUMENT, () -> BundleArchive.unpack(new ByteArrayInputStream(archive), file));
        assertEquals(1, file.length());
    }

    @Test
    void whatAKilledProcessLeftIsNoHindrance() throws IOException {
        byte[] archive = zip();
        BundleArchive.unpack(new ByteArrayInputStream(archive), target);
        for (String left : new String[] {".pose.part", ".pose.old"}) {
            Path old = Files.createDirectory(target.toPath().resolveSibling(left));
            Files.write(old.resolve("stray"), new byte[] {1});
        }
        BundleArchive.unpack(new ByteArrayInputStream(archive), target);
        assertArrayEquals(new String[] {"pose"}, target.getParentFile().list());
        PoseSession.open(target.getPath(), 1).close();
    }

    @Test
    void theOldBundleThatAKilledProcessMovedAwayComesBack() throws IOException {
        byte[] archive = zip();
        BundleArchive.unpack(new ByteArrayInputStream(archive), target);
        assertTrue(target.renameTo(new File(target.getParentFile(), ".pose.old")));
        byte[] part = Arrays.copyOf(archive, archive.length / 2);
        assertFails(Code.INVALID_BUNDLE, () -> BundleArchive.unpack(new ByteArrayInputStream(part), target));
        assertArrayEquals(new String[] {"pose"}, target.getParentFile().list());
        PoseSession.open(target.getPath(), 1).close();
    }

    @Test
    void aNameThatIsThereTwiceIsRefused() throws IOException {
        files.put("pose/bundle.jsox", new byte[] {1});
        String twice = new String(zip(), StandardCharsets.ISO_8859_1).replace("pose/bundle.jsox", "pose/bundle.json");
        EdgePoseException error =
                assertRefused(Code.INVALID_BUNDLE, twice.getBytes(StandardCharsets.ISO_8859_1));
        assertTrue(error.getMessage().contains("twice"), error.getMessage());
    }

    @Test
    void archivesThatAreTooLargeAreRefused() throws IOException {
        while (files.size() < 64) {
            files.put("pose/file" + files.size(), new byte[0]);
        }
        assertFalse(assertRefused(Code.INVALID_BUNDLE, zip()).getMessage().contains("more than"));
        files.put("pose/another", new byte[0]);
        assertTrue(assertRefused(Code.INVALID_BUNDLE, zip()).getMessage().contains("more than 64 files"));
    }

    @Test
    void aStreamThatFailsIsNamed() {
        InputStream broken = new InputStream() {
            @Override
            public int read() throws IOException {
                throw new IOException("the provider went away");
            }
        };
        EdgePoseException error = assertFails(Code.IO, () -> BundleArchive.unpack(broken, target));
        assertTrue(error.getMessage().contains("the provider went away"));
        assertEquals(IOException.class, error.getCause().getClass());
        assertFails(Code.INVALID_ARGUMENT, () -> BundleArchive.unpack((InputStream) null, target));
        assertFails(Code.INVALID_ARGUMENT, () -> BundleArchive.unpack(broken, null));
    }
}
