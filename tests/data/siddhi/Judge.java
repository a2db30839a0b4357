import java.io.DataInputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.wso2.siddhi.query.compiler.SiddhiCompiler;

/**
 * Judges execution plans. Standard input: for each plan its length in bytes (4, big endian) and its
 * bytes. Standard output: a line for each plan, "ok", or the exception's class, a tab and its text.
 */
public final class Judge {
    public static void main(String[] arguments) throws IOException {
        DataInputStream in = new DataInputStream(System.in);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        byte[] size = new byte[4];
        while (in.readNBytes(size, 0, 4) == 4) {
            int length = java.nio.ByteBuffer.wrap(size).getInt();
            out.println(verdict(new String(in.readNBytes(length), StandardCharsets.UTF_8)));
        }
        out.flush();
    }

    private static String verdict(String plan) {
        try {
            SiddhiCompiler.parse(plan);
            return "ok";
        } catch (RuntimeException | StackOverflowError refusal) {
            String text = String.valueOf(refusal.getMessage()).replaceAll("\\s+", " ");
            return refusal.getClass().getSimpleName() + "\t" + text;
        }
    }
}
