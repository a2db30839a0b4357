import java.io.ByteArrayInputStream;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.axiom.om.OMElement;
import org.apache.axiom.om.OMXMLBuilderFactory;
import org.apache.axis2.context.ConfigurationContext;
import org.apache.log4j.AppenderSkeleton;
import org.apache.log4j.Level;
import org.apache.log4j.Logger;
import org.apache.log4j.spi.LoggingEvent;
import org.apache.synapse.ServerConfigurationInformation;
import org.apache.synapse.ServerContextInformation;
import org.apache.synapse.ServerManager;
import org.apache.synapse.deployers.*;

/**
 * Asks the deployers of a running Synapse what they say of artifacts, one at a time and thousands in one
 * start: each is deployed as a new file would be, and undeployed before the next.
 *
 * Arguments: those of SynapseServer. Standard input: lines of FOLDER TAB FILE TAB NAME. Standard output:
 * for each a line, "taken", "refused TAB reason" or "thrown TAB reason" (what no deployer expects).
 */
public class Judge {
    private static final Map<String, AbstractSynapseArtifactDeployer> DEPLOYERS = new HashMap<>();
    private static String logged = "";

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        ConfigurationContext context = start(arguments);
        make("api", new APIDeployer(), context);
        make("endpoints", new EndpointDeployer(), context);
        make("event-sources", new EventSourceDeployer(), context);
        make("imports", new ImportDeployer(), context);
        make("local-entries", new LocalEntryDeployer(), context);
        make("message-processors", new MessageProcessorDeployer(), context);
        make("message-stores", new MessageStoreDeployer(), context);
        make("priority-executors", new PriorityExecutorDeployer(), context);
        make("proxy-services", new ProxyServiceDeployer(), context);
        make("sequences", new SequenceDeployer(), context);
        make("tasks", new TaskDeployer(), context);
        make("templates", new TemplateDeployer(), context);
        listen();
        BufferedReader questions = new BufferedReader(
                new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            String[] words = line.split("\t", -1);
            answers.println(judge(words[0], words[1], words[2]));
        }
        answers.flush();
        Runtime.getRuntime().halt(0);
    }

    private static ConfigurationContext start(String[] arguments) {
        ServerConfigurationInformation configuration = org.apache.synapse
                .ServerConfigurationInformationFactory.createServerConfigurationInformation(arguments);
        ServerManager manager = new ServerManager();
        manager.init(configuration, null);
        manager.start();
        ServerContextInformation information = manager.getServerContextInformation();
        return (ConfigurationContext) information.getServerContext();
    }

    private static void make(
            String folder, AbstractSynapseArtifactDeployer deployer, ConfigurationContext context) {
        deployer.init(context);
        DEPLOYERS.put(folder, deployer);
    }

    /** Remembers the last complaint: some deployers only log why they refuse. */
    private static void listen() {
        Logger.getRootLogger().removeAllAppenders();
        Logger.getRootLogger().addAppender(new AppenderSkeleton() {
            @Override
            protected void append(LoggingEvent event) {
                if (event.getLevel().isGreaterOrEqual(Level.WARN) && event.getThrowableInformation() != null) {
                    logged = rootOf(event.getThrowableInformation().getThrowable());
                } else if (event.getLevel().isGreaterOrEqual(Level.ERROR) && logged.isEmpty()) {
                    logged = String.valueOf(event.getMessage());
                }
            }

            @Override
            public void close() {
            }

            @Override
            public boolean requiresLayout() {
                return false;
            }
        });
    }

    private static String judge(String folder, String file, String name) {
        AbstractSynapseArtifactDeployer deployer = DEPLOYERS.get(folder);
        if (deployer == null) {
            return "refused\tApache Synapse does not look into this folder";
        }
        logged = "";
        try {
            byte[] content = Files.readAllBytes(Path.of(file));
            OMElement root = OMXMLBuilderFactory.createOMBuilder(new ByteArrayInputStream(content))
                    .getDocumentElement();
            Properties properties = new Properties();
            properties.put("resolve.root", new File(".").getAbsolutePath());
            String deployed = deployer.deploySynapseArtifact(root, file, properties);
            if (deployed == null) {
                return "refused\t" + inOneLine(logged);
            }
            forget(deployer, deployed);
            root.build();
            return "taken";
        } catch (SynapseArtifactDeploymentException refused) {
            forget(deployer, name);
            return "refused\t" + inOneLine(rootOf(refused));
        } catch (Throwable thrown) {
            forget(deployer, name);
            return "thrown\t" + inOneLine(rootOf(thrown));
        }
    }

    private static void forget(AbstractSynapseArtifactDeployer deployer, String name) {
        try {
            deployer.undeploySynapseArtifact(name);
        } catch (Throwable notThere) {
            logged = "";
        }
    }

    private static String rootOf(Throwable thrown) {
        Throwable root = thrown;
        while (root.getCause() != null && root.getCause() != root) {
            root = root.getCause();
        }
        String name = root.getClass().getSimpleName();
        String text = root.getMessage();
        return name.equals("SynapseException") ? text : name + ": " + text;
    }

    private static String inOneLine(String text) {
        return text == null ? "" : text.replaceAll("\\s+", " ");
    }
}
