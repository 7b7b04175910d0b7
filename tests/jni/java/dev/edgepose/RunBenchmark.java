package dev.edgepose;

import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;

/**
 * For tests/jni/test_benchmark.py: {@code run BUNDLE RESULT}; {@code plan BUNDLE...} prints the quick and the whole
 * plan of each; {@code result BUNDLE PLAN JOURNAL...} prints the document of each journal.
 */
public final class RunBenchmark {
    private RunBenchmark() {}

    private static String read(String path) throws IOException {
        return new String(Files.readAllBytes(Paths.get(path)), StandardCharsets.UTF_8);
    }

    public static void main(String[] args) throws IOException {
        Native.require();
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        if (args[0].equals("run")) {
            out.print(Benchmark.run(args[1], 1, true, BenchmarkTest.device(), new File(args[2]), null));
        } else if (args[0].equals("plan")) {
            for (int i = 1; i < args.length; i++) {
                out.println(Native.benchPlan(args[i], 3, true));
                out.println(Native.benchPlan(args[i], 3, false));
            }
        } else {
            for (int i = 3; i < args.length; i++) {
                String[] device = {"name", "test", "title", "Test"};
                out.println(Native.benchResult(args[1], read(args[2]), read(args[i]), device)[0]);
            }
        }
    }
}
