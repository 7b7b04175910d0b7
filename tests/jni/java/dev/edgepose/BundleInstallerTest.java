package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgepose.EdgePoseException.Code;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BundleInstallerTest {
    @TempDir
    Path folder;

    private final Map<String, byte[]> assets = new TreeMap<>();
    private int opened;
    private BundleInstaller installer;

    @BeforeEach
    void fill() throws Exception {
        StringBuilder index = new StringBuilder();
        for (String bundle : new String[] {"pose", "detect"}) {
            for (File file : new File(Bundles.path(bundle)).listFiles()) {
                byte[] bytes = Files.readAllBytes(file.toPath());
                String name = bundle + "/" + file.getName();
                assets.put(name, bytes);
                index.append(hex(bytes)).append(' ').append(bytes.length).append(' ').append(name).append('\n');
            }
        }
        assets.put(BundleInstaller.INDEX, index.toString().getBytes(StandardCharsets.UTF_8));
        installer = new BundleInstaller(
                name -> {
                    opened++;
                    if (!assets.containsKey(name)) {
                        throw new FileNotFoundException(name);
                    }
                    return new ByteArrayInputStream(assets.get(name));
                },
                folder.resolve("files").toFile());
    }

    private static String hex(byte[] bytes) throws Exception {
        StringBuilder text = new StringBuilder();
        for (byte b : MessageDigest.getInstance("SHA-256").digest(bytes)) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    private void index(String text) {
        assets.put(BundleInstaller.INDEX, text.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void anInstalledBundleIsOpenedByTheLibrary() throws IOException {
        assertEquals(Arrays.asList("pose", "detect"), installer.bundles());
        File target = installer.install("pose");
        try (PoseSession session = PoseSession.open(target.getPath(), 1)) {
            assertTrue(session.verify());
        }
        assertArrayEquals(assets.get("pose/bundle.json"), Files.readAllBytes(new File(target, "bundle.json").toPath()));
    }

    @Test
    void aSecondInstallationCopiesNothing() {
        installer.install("pose");
        int before = opened;
        installer.install("pose");
        assertEquals(before + 1, opened, "the index alone is read");
    }

    @Test
    void anInstalledBundleThatLostAFileOrAPartOfOneIsReplaced() throws IOException {
        File target = installer.install("pose");
        Files.write(target.toPath().resolve("bundle.json"), new byte[0]);
        assertArrayEquals(assets.get("pose/bundle.json"),
                Files.readAllBytes(installer.install("pose").toPath().resolve("bundle.json")));
        Files.delete(target.toPath().resolve("bundle.json"));
        assertTrue(new File(installer.install("pose"), "bundle.json").isFile());
    }

    @Test
    void aNewerBundleReplacesTheOldOne() throws Exception {
        File target = installer.install("pose");
        byte[] note = "x".getBytes(StandardCharsets.UTF_8);
        assets.put("pose/note.txt", note);
        String old = new String(assets.get(BundleInstaller.INDEX), StandardCharsets.UTF_8);
        index(old + hex(note) + " 1 pose/note.txt\n");
        installer.install("pose");
        assertTrue(new File(target, "note.txt").exists());
    }

    @Test
    void newWeightsOfTheSameNameAndLengthReplaceTheOldOnes() throws Exception {
        File target = installer.install("pose");
        byte[] weights = assets.get("pose/tiny-pose.fake");
        String before = hex(weights);
        weights[0] ^= 1;
        String old = new String(assets.get(BundleInstaller.INDEX), StandardCharsets.UTF_8);
        index(old.replace(before, hex(weights)));
        installer.install("pose");
        assertArrayEquals(weights, Files.readAllBytes(target.toPath().resolve("tiny-pose.fake")));
    }

    @Test
    void twoInstallersAtOnceGiveOneWholeBundle() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        BundleInstaller.Source slow = name -> {
            if (!name.equals(BundleInstaller.INDEX)) {
                most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                LockSupport.parkNanos(20_000_000);
                inside.decrementAndGet();
            }
            return new ByteArrayInputStream(assets.get(name));
        };
        Callable<File> install = () -> new BundleInstaller(slow, folder.resolve("files").toFile()).install("pose");
        ExecutorService threads = Executors.newFixedThreadPool(2);
        try {
            for (Future<File> target : threads.invokeAll(Arrays.asList(install, install))) {
                PoseSession.open(target.get().getPath(), 1).close();
            }
        } finally {
            threads.shutdown();
        }
        assertEquals(1, most.get());
    }

    @Test
    void aDamagedFileIsRefusedAndNothingIsLeft() {
        assets.get("pose/bundle.json")[3] ^= 1;
        assertFails(Code.CHECKSUM_MISMATCH, () -> installer.install("pose"));
        assertFalse(folder.resolve("files/pose").toFile().exists());
        assertFalse(folder.resolve("files/.pose.part").toFile().exists());
    }

    @Test
    void aFileOfAnotherLengthThanTheListSaysIsRefused() {
        // Installed, it would look like a part of a file at each start.
        String list = new String(assets.get(BundleInstaller.INDEX), StandardCharsets.UTF_8);
        index(list.replaceFirst(" (\\d+) pose/bundle.json", " 1$1 pose/bundle.json"));
        assertFails(Code.CHECKSUM_MISMATCH, () -> installer.install("pose"));
    }

    @Test
    void whatIsAbsentOrMalformedIsNamed() {
        assertFails(Code.INVALID_ARGUMENT, () -> installer.install("nothing"));
        assets.remove("pose/bundle.json");
        assertFails(Code.IO, () -> installer.install("pose"));
        assertFalse(folder.resolve("files/.pose.part").toFile().exists());
        for (String line : new String[] {
            "abc", "00 1 pose/a", hexZeros() + " x pose/a", hexZeros() + " 1 pose", hexZeros() + " 1 ../a",
            hexZeros() + " 1 pose/../a", hexZeros() + " 1 pose/", hexZeros() + " 1 pose/..\\a"
        }) {
            index(line + "\n");
            assertFails(Code.INVALID_BUNDLE, installer::bundles);
        }
        assets.remove(BundleInstaller.INDEX);
        assertFails(Code.IO, installer::bundles);
    }

    private static String hexZeros() {
        return new String(new char[64]).replace('\0', '0');
    }
}
