package dev.edgepose;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import javax.annotation.processing.AbstractProcessor;
import javax.annotation.processing.RoundEnvironment;
import javax.lang.model.SourceVersion;
import javax.lang.model.element.AnnotationMirror;
import javax.lang.model.element.Element;
import javax.lang.model.element.ElementKind;
import javax.lang.model.element.ExecutableElement;
import javax.lang.model.element.Modifier;
import javax.lang.model.element.TypeElement;
import javax.lang.model.type.TypeMirror;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;

/** Kotlin must know of every public reference whether it may be null. */
class NullabilityTest {
    private static final List<String> NAMES =
            Arrays.asList("androidx.annotation.NonNull", "androidx.annotation.Nullable");

    private static final class Inspector extends AbstractProcessor {
        final Set<String> unannotated = new TreeSet<>();
        int annotated;

        @Override
        public Set<String> getSupportedAnnotationTypes() {
            return Collections.singleton("*");
        }

        @Override
        public SourceVersion getSupportedSourceVersion() {
            return SourceVersion.latest();
        }

        @Override
        public boolean process(Set<? extends TypeElement> annotations, RoundEnvironment round) {
            for (Element element : round.getRootElements()) {
                type(element);
            }
            return false;
        }

        private void type(Element type) {
            if (!type.getModifiers().contains(Modifier.PUBLIC)) {
                return;
            }
            for (Element member : type.getEnclosedElements()) {
                if (member.getKind().isClass() || member.getKind().isInterface()) {
                    type(member);
                } else if (member.getModifiers().contains(Modifier.PUBLIC)) {
                    member(type, member);
                }
            }
        }

        private void member(Element type, Element member) {
            // What the compiler adds to an enum (values, valueOf) has no source.
            boolean ofEnum = type.getKind() == ElementKind.ENUM
                    && Arrays.asList("values", "valueOf").contains(member.getSimpleName().toString());
            if (ofEnum || member.getKind() == ElementKind.ENUM_CONSTANT) {
                return;
            }
            String name = type + "." + member.getSimpleName();
            if (member instanceof ExecutableElement) {
                ExecutableElement method = (ExecutableElement) member;
                check(name, method.getReturnType(), method);
                method.getParameters().forEach(p -> check(name + "(" + p + ")", p.asType(), p));
            } else if (!member.getModifiers().contains(Modifier.FINAL)) {
                check(name, member.asType(), member);
            }
        }

        private void check(String name, TypeMirror type, Element element) {
            if (type.getKind().isPrimitive() || type.toString().equals("void")) {
                return;
            }
            for (AnnotationMirror mirror : element.getAnnotationMirrors()) {
                if (NAMES.contains(mirror.getAnnotationType().toString())) {
                    annotated++;
                    return;
                }
            }
            unannotated.add(name);
        }
    }

    @Test
    void everyPublicReferenceIsAnnotated() {
        File root = new File(System.getProperty("edgepose.tests")).getParentFile();
        List<File> sources = new ArrayList<>();
        for (String folder : new String[] {"edgepose/src/main/java/dev/edgepose", "annotations/androidx/annotation"}) {
            sources.addAll(Arrays.asList(new File(root, "android_demo/" + folder).listFiles()));
        }
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null);
        JavaCompiler.CompilationTask task = compiler.getTask(
                null, files, null, Collections.singletonList("-proc:only"), null,
                files.getJavaFileObjectsFromFiles(sources));
        Inspector inspector = new Inspector();
        task.setProcessors(Collections.singletonList(inspector));
        assertTrue(task.call());
        assertEquals(Collections.emptySet(), inspector.unannotated);
        assertTrue(inspector.annotated > 30, inspector.annotated + " annotations");
    }
}
