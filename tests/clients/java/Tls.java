import java.io.InputStream;
import java.net.Socket;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509KeyManager;

/**
 * A TLS server and its clients, both with keys in the token, in one process.
 *
 * <p>Arguments: the provider's configuration file, the PIN, the provider's place among Java's
 * ("first" or "last"), and then what to connect with, each PROTOCOL/ALIAS[/CIPHER_SUITE]. Writes
 * "ok PROTOCOL CIPHER_SUITE ALIAS PEER" for each, the peer being whom the server saw.
 */
public class Tls {
    private static final int CLIENTS = 4;

    public static void main(String[] arguments) throws Exception {
        Provider token = Security.getProvider("SunPKCS11").configure(arguments[0]);
        if (arguments[2].equals("first")) {
            Security.insertProviderAt(token, 1);
        } else {
            Security.addProvider(token);
        }
        KeyStore store = KeyStore.getInstance("PKCS11", token);
        store.load(null, arguments[1].toCharArray());
        for (int i = 3; i < arguments.length; i++) {
            connect(store, arguments[i].split("/"));
        }
    }

    private static void connect(KeyStore store, String[] how) throws Exception {
        SSLContext context = context(store, how[1]);
        SSLServerSocket server =
            (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0);
        server.setNeedClientAuth(true);
        ExecutorService pool = Executors.newFixedThreadPool(2 * CLIENTS);
        List<Future<String>> served = new ArrayList<>();
        List<Future<String>> asked = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            served.add(pool.submit(() -> serve(server)));
            asked.add(pool.submit(() -> ask(context, server.getLocalPort(), how)));
        }
        try {
            String first = null;
            for (int i = 0; i < CLIENTS; i++) {
                String seen = asked.get(i).get() + " " + how[1] + " " + served.get(i).get();
                if (first != null && !first.equals(seen)) {
                    throw new IllegalStateException(first + ", then " + seen);
                }
                first = seen;
            }
            System.out.println("ok " + first);
        } finally {
            pool.shutdownNow();
            server.close();
        }
    }

    private static String serve(SSLServerSocket server) throws Exception {
        try (SSLSocket socket = (SSLSocket) server.accept()) {
            String peer = socket.getSession().getPeerPrincipal().getName();
            byte[] question = socket.getInputStream().readNBytes(100_000);
            socket.getOutputStream().write(question);
            return peer;
        }
    }

    private static String ask(SSLContext context, int port, String[] how) throws Exception {
        try (SSLSocket socket =
                (SSLSocket) context.getSocketFactory().createSocket("localhost", port)) {
            socket.setEnabledProtocols(new String[] {how[0]});
            if (how.length > 2) {
                socket.setEnabledCipherSuites(new String[] {how[2]});
            }
            socket.getOutputStream().write(new byte[100_000]);
            InputStream answer = socket.getInputStream();
            if (answer.readNBytes(100_000).length != 100_000) {
                throw new IllegalStateException("the answer is too short");
            }
            return socket.getSession().getProtocol() + " " + socket.getSession().getCipherSuite();
        }
    }

    private static SSLContext context(KeyStore store, String alias) throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, null);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry(alias, store.getCertificate(alias));
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        KeyManager one = new OneKey(store, alias);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(new KeyManager[] {one}, trust.getTrustManagers(), null);
        return context;
    }

    /** The key manager of one entry, so that it is known which key is used. */
    private static class OneKey extends X509ExtendedKeyManager implements X509KeyManager {
        private final String alias;
        private final PrivateKey key;
        private final X509Certificate[] chain;

        OneKey(KeyStore store, String alias) throws Exception {
            this.alias = alias;
            key = (PrivateKey) store.getKey(alias, null);
            chain = new X509Certificate[] {(X509Certificate) store.getCertificate(alias)};
        }

        private String of(String keyType) {
            return keyType.startsWith(key.getAlgorithm()) ? alias : null;
        }

        private String of(String[] keyTypes) {
            for (String keyType : keyTypes) {
                if (of(keyType) != null) {
                    return alias;
                }
            }
            return null;
        }

        @Override
        public String chooseClientAlias(String[] keyTypes, Principal[] issuers, Socket socket) {
            return of(keyTypes);
        }

        @Override
        public String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
            return of(keyType);
        }

        @Override
        public String chooseEngineClientAlias(
                String[] keyTypes, Principal[] issuers, SSLEngine engine) {
            return of(keyTypes);
        }

        @Override
        public String chooseEngineServerAlias(
                String keyType, Principal[] issuers, SSLEngine engine) {
            return of(keyType);
        }

        @Override
        public String[] getClientAliases(String keyType, Principal[] issuers) {
            return new String[] {alias};
        }

        @Override
        public String[] getServerAliases(String keyType, Principal[] issuers) {
            return new String[] {alias};
        }

        @Override
        public PrivateKey getPrivateKey(String name) {
            return key;
        }

        @Override
        public X509Certificate[] getCertificateChain(String name) {
            return chain;
        }
    }
}
