package dev.edgepose;

import static dev.edgepose.Bundles.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.edgepose.EdgePoseException.Code;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Text on its way between UTF-16 and UTF-8. */
class TextTest {
    @TempDir
    Path folder;

    @Test
    void aPathArrivesAsItIsAndHalfAPairIsReplaced() {
        String[] names = {"caf\u00E9", "\u65E5\u672C", "\u07FF\u0800\uFFFD", "\uD83D\uDE00", "a\uDBFF\uDFFF"};
        for (String name : names) {
            EdgePoseException absent = assertFails(Code.IO, () -> PoseSession.open(folder + "/" + name + "/x", 1));
            assertTrue(absent.getMessage().contains("/" + name + "/x"), absent.getMessage());
        }
        String[][] halves = {
            {"a\uD83Db", "a\uFFFDb"}, {"a\uDE00b", "a\uFFFDb"}, {"a\uD83D\uD83D\uDE00b", "a\uFFFD\uD83D\uDE00b"},
            {"b\uD83D", "b\uFFFD"}
        };
        for (String[] half : halves) {
            EdgePoseException absent = assertFails(Code.IO, () -> PoseSession.open(folder + "/" + half[0], 1));
            assertTrue(absent.getMessage().contains("/" + half[1] + "\""), absent.getMessage());
        }
    }

    @Test
    void keypointsHaveTheNamesOfTheBundle() throws Exception {
        String[] names = {"caf\u00E9", "\u65E5\u672C", "\uD83D\uDE00"};
        Path bundle = Bundles.edited("pose", folder, text -> text
                .replace("\"nose\"", "\"" + names[0] + "\"")
                .replace("\"left_eye\"", "\"" + names[1] + "\"")
                .replace("\"right_eye\"", "\"" + names[2] + "\""));
        try (PoseSession session = PoseSession.open(bundle.toString(), 1)) {
            assertArrayEquals(names, session.keypointNames());
        }
    }

    @Test
    void whatIsNotUtf8IsReplacedByteByByte() throws Exception {
        assumeFalse(Boolean.getBoolean("edgepose.emulated"), "an emulated JVM may not be able to start programs");
        Path bundle = Bundles.edited("pose", folder, text -> text.replace("\"nose\"", "\"chin\""));
        // Overlong forms of NUL, half a pair, a number above the last character, a byte of no character, and a
        // character that is cut off: messages name files, and their names can be any bytes.
        String name = "\\303\\251\\346\\227\\245\\300\\200-\\340\\200\\200-\\355\\240\\200-\\364\\220\\200\\200-\\377-"
                + "\\346\\227";
        Process touch = new ProcessBuilder("sh", "-c", "touch \"$(printf '" + name + "')\"")
                .directory(bundle.toFile())
                .start();
        assertEquals(0, touch.waitFor());
        String shown = "\u00E9\u65E5??-???-???-????-?-??".replace('?', '\uFFFD');
        EdgePoseException error = assertFails(Code.INVALID_BUNDLE, () -> PoseSession.open(bundle.toString(), 1));
        assertTrue(error.getMessage().contains("\"" + shown + "\""), error.getMessage());
    }
}
