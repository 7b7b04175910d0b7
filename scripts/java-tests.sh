# Compiles and runs the Java library's tests; sourced by test-jni.sh and test-jni-arm64.sh.
jars=/usr/share/java
junit=$(printf '%s:' $jars/junit-platform-{console,reporting,launcher,engine,commons}.jar \
  $jars/junit-jupiter-{api,params,engine}.jar $jars/{opentest4j,opentest4j-reporting-events,apiguardian-api,picocli}.jar \
  $jars/{univocity-parsers,opentest4j-reporting-schema}.jar)

compile_java() {  # compile_java FOLDER
  local out=$1 sources tests
  rm -rf "$out/classes" "$out/test-classes" "$out/annotations"
  mkdir -p "$out"
  # Only declared: what the compiler needs of AndroidX.
  javac --release 8 -Xlint:-options -d "$out/annotations" android_demo/annotations/androidx/annotation/*.java
  # The language level of Android's oldest tools.
  mapfile -t sources < <(find android_demo/*/src/main/java -name '*.java' ! -path '*/dev/edgepose/demo/android/*')
  javac --release 8 -Xlint:all,-options,-serial,-path -Werror -d "$out/classes" -cp "$out/annotations" "${sources[@]}"
  mapfile -t tests < <(find tests/jni/java -name '*.java')
  # For the JRE of Debian 12 for ARM, too.
  javac --release 17 -Xlint:all,-options,-serial,-path -Werror -d "$out/test-classes" -cp "$out/classes:$out/annotations:$junit" \
    "${tests[@]}"
}

run_java_tests() {  # run_java_tests FOLDER LIBRARY_FOLDER COMMAND... [-- OPTION_OF_JUNIT...]
  local out=$1 folder=$2 command=() options=()
  shift 2
  while (($#)) && [[ $1 != -- ]]; do command+=("$1"); shift; done
  (($# < 2)) || options=("${@:2}")
  "${command[@]}" -Xcheck:jni -Xms64m -Xmx64m -XX:+UseSerialGC -XX:+AlwaysPreTouch -Djava.library.path="$folder" \
    -Dedgepose.tests="$PWD/tests" -cp "$out/classes:$out/test-classes:$junit" \
    org.junit.platform.console.ConsoleLauncher --scan-classpath "$out/test-classes" --disable-banner --fail-if-no-tests \
    --details=tree --disable-ansi-colors "${options[@]}" >"$out/run.log" 2>&1 || { cat "$out/run.log" >&2; return 1; }
  if grep -E 'WARNING in native|FATAL ERROR in native|WARNING: JNI' "$out/run.log" >&2; then return 1; fi
  grep -E '^fuzz:|tests successful' "$out/run.log"
}
