import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Ends in the way it is told to while threads use the token and change what is in it.
 *
 * <p>Arguments: the provider's configuration file, the PIN, the way, and the alias of an entry.
 */
public class Ends {
    public static void main(String[] arguments) throws Exception {
        Provider token = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(token);
        KeyStore store = KeyStore.getInstance("PKCS11", token);
        store.load(null, arguments[1].toCharArray());
        PrivateKey key = (PrivateKey) store.getKey(arguments[3], null);
        for (int i = 0; i < 4; i++) {
            int number = i;
            Thread worker = new Thread(() -> work(token, store, key, number));
            worker.setDaemon(true);
            worker.start();
        }
        Thread.sleep(300);
        System.out.println("busy");
        switch (arguments[2]) {
            case "exit" -> System.exit(3);
            case "halt" -> Runtime.getRuntime().halt(4);
            case "return" -> { }
            case "exception" -> throw new IllegalStateException("as asked for");
            case "overflow" -> overflow(0);
            case "null" -> System.out.println(nothing().length());
            default -> Thread.sleep(60_000);
        }
    }

    private static String nothing() {
        return System.getProperty("there is no such property");
    }

    private static int overflow(int depth) {
        return overflow(depth + 1) + 1;
    }

    private static void work(Provider token, KeyStore store, PrivateKey key, int number) {
        try {
            while (true) {
                KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", token);
                generator.initialize(new ECGenParameterSpec("secp256r1"));
                KeyPair pair = generator.generateKeyPair();
                Signature signature = Signature.getInstance("SHA256withECDSA", token);
                signature.initSign(pair.getPrivate());
                signature.update(new byte[100]);
                signature.sign();
                if (number == 0) {
                    SecretKeySpec secret = new SecretKeySpec(new byte[32], "AES");
                    store.setKeyEntry("scratch", secret, null, null);
                    store.deleteEntry("scratch");
                }
                signature.initSign(key);
                signature.update(new byte[100]);
                signature.sign();
            }
        } catch (Exception failure) {
            System.out.println("worker: " + failure);
        }
    }
}
