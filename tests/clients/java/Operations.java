import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Everything that SunPKCS11 offers for a token, against Java's own implementations.
 *
 * <p>Arguments: the provider's configuration file, the PIN, and the part to run. Writes a line
 * "ok NAME" or "FAILED NAME: why" for each thing tried; the services come from the provider itself,
 * so that what it does not offer for this token is missing from the output.
 */
public class Operations {
    private static final byte[] DATA = new byte[100_000];
    private static final Map<String, Callable<Boolean>> TRIED = new LinkedHashMap<>();
    private static final Map<String, String> CURVES =
        Map.of("P-256", "secp256r1", "P-384", "secp384r1", "P-521", "secp521r1");

    private static Provider token;
    private static KeyStore store;

    public static void main(String[] arguments) throws Exception {
        token = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(token);
        store = KeyStore.getInstance("PKCS11", token);
        store.load(null, arguments[1].toCharArray());
        new SecureRandom().nextBytes(DATA);
        switch (arguments[2]) {
            case "signatures" -> signatures();
            case "secrets" -> {
                digests();
                macs();
                ciphers();
                agreements();
                TRIED.put("SecureRandom", Operations::random);
                TRIED.put("AES key of a SecretKeyFactory", Operations::translated);
            }
            case "stores" -> stores(arguments[3]);
            case "threads" -> TRIED.put("threads", () -> threads(Integer.parseInt(arguments[3])));
            default -> throw new IllegalArgumentException(arguments[2]);
        }
        TRIED.forEach(Operations::attempt);
    }

    private static void attempt(String name, Callable<Boolean> what) {
        try {
            System.out.println(what.call() ? "ok " + name : "FAILED " + name + ": another result");
        } catch (Exception | Error failure) {
            StringBuilder why = new StringBuilder();
            for (Throwable t = failure; t != null; t = t.getCause()) {
                why.append(" < ").append(t);
            }
            System.out.println("FAILED " + name + ":" + why);
        }
    }

    private static List<String> offered(String type) {
        List<String> names = new ArrayList<>();
        for (Provider.Service service : token.getServices()) {
            if (service.getType().equals(type)) {
                names.add(service.getAlgorithm());
            }
        }
        Collections.sort(names);
        return names;
    }

    private static void signatures() throws Exception {
        KeyPairGenerator rsa = KeyPairGenerator.getInstance("RSA", token);
        rsa.initialize(2048);
        KeyPair rsaPair = rsa.generateKeyPair();
        Map<String, KeyPair> ecPairs = new LinkedHashMap<>();
        for (String curve : CURVES.values()) {
            KeyPairGenerator ec = KeyPairGenerator.getInstance("EC", token);
            ec.initialize(new ECGenParameterSpec(curve));
            ecPairs.put(curve, ec.generateKeyPair());
        }
        for (String name : offered("Signature")) {
            if (name.contains("ECDSA")) {
                ecPairs.forEach(
                    (curve, pair) ->
                        TRIED.put(name + " " + curve, () -> signed(name, pair, "SunEC", name)));
            } else if (name.startsWith("NONE")) {
                TRIED.put(name, () -> padded(name, rsaPair));
            } else if (!name.matches("MD2.*|.*DSA.*|SHA3-.*PSS")) {
                // Java 17 cannot hand over the parameter of SHA3-*withRSASSA-PSS.
                String theirs = name.endsWith("RSASSA-PSS") ? "RSASSA-PSS" : name;
                TRIED.put(name, () -> signed(name, rsaPair, "SunRsaSign", theirs));
            }
        }
    }

    /** Signed by the token and verified by Java, and by the token; a changed signature is not. */
    private static boolean signed(String name, KeyPair pair, String provider, String theirName)
            throws GeneralSecurityException {
        byte[] data = name.startsWith("NONE") ? Arrays.copyOf(DATA, 32) : DATA;
        Signature ours = Signature.getInstance(name, token);
        ours.initSign(pair.getPrivate());
        pss(ours, name);
        for (int start = 0; start < data.length; start += 30_000) {
            ours.update(data, start, Math.min(30_000, data.length - start));
        }
        byte[] signature = ours.sign();
        ours.update(data);
        boolean again = ours.sign().length > 0;

        ours.initVerify(pair.getPublic());
        ours.update(data);
        boolean verified = ours.verify(signature);
        signature[signature.length - 1] ^= 1;
        ours.update(data);
        boolean changed = ours.verify(signature);
        signature[signature.length - 1] ^= 1;
        Signature theirs = Signature.getInstance(theirName, provider);
        theirs.initVerify(software(pair.getPublic()));
        pss(theirs, name);
        theirs.update(data);
        return again && verified && !changed && theirs.verify(signature);
    }

    /** NONEwithRSA: PKCS #1 padding around the data, which SunJCE's cipher takes off. */
    private static boolean padded(String name, KeyPair pair) throws GeneralSecurityException {
        byte[] data = Arrays.copyOf(DATA, 32);
        Signature ours = Signature.getInstance(name, token);
        ours.initSign(pair.getPrivate());
        ours.update(data);
        Cipher theirs = Cipher.getInstance("RSA/ECB/PKCS1Padding", "SunJCE");
        theirs.init(Cipher.DECRYPT_MODE, software(pair.getPublic()));
        return Arrays.equals(theirs.doFinal(ours.sign()), data);
    }

    private static void pss(Signature signature, String name) throws GeneralSecurityException {
        if (!name.endsWith("RSASSA-PSS")) {
            return;
        }
        String hash = name.startsWith("RSA") ? "SHA256" : name.substring(0, name.indexOf("with"));
        String digest = hash.startsWith("SHA3") ? hash : hash.replace("SHA", "SHA-");
        int length = MessageDigest.getInstance(digest).getDigestLength();
        signature.setParameter(
            new PSSParameterSpec(digest, "MGF1", new MGF1ParameterSpec(digest), length, 1));
    }

    /** A key of Java's own providers with the same value. */
    private static PublicKey software(PublicKey key) throws GeneralSecurityException {
        String provider = key.getAlgorithm().equals("EC") ? "SunEC" : "SunRsaSign";
        return KeyFactory.getInstance(key.getAlgorithm(), provider)
            .generatePublic(new X509EncodedKeySpec(key.getEncoded()));
    }

    private static void digests() {
        for (String name : offered("MessageDigest")) {
            TRIED.put("MessageDigest " + name, () -> {
                MessageDigest ours = MessageDigest.getInstance(name, token);
                ours.update(DATA, 0, 70_001);
                MessageDigest copy = (MessageDigest) ours.clone();
                ours.update(DATA, 70_001, 29_999);
                copy.update(DATA, 70_001, 29_999);
                byte[] theirs = MessageDigest.getInstance(name, "SUN").digest(DATA);
                return Arrays.equals(ours.digest(), theirs)
                    && Arrays.equals(copy.digest(), theirs)
                    && Arrays.equals(ours.digest(DATA), theirs);
            });
        }
    }

    private static void macs() {
        for (String name : offered("Mac")) {
            TRIED.put("Mac " + name, () -> {
                SecretKey key = new SecretKeySpec(DATA, 0, 32, name);
                Mac ours = Mac.getInstance(name, token);
                ours.init(key);
                Mac theirs = Mac.getInstance(name, "SunJCE");
                theirs.init(key);
                ours.update(DATA, 0, 50_001);
                ours.update(DATA, 50_001, 49_999);
                return Arrays.equals(ours.doFinal(), theirs.doFinal(DATA));
            });
            if (offered("KeyGenerator").contains(name)) {
                TRIED.put("Mac with a generated key " + name, () -> {
                    SecretKey key = KeyGenerator.getInstance(name, token).generateKey();
                    Mac ours = Mac.getInstance(name, token);
                    ours.init(key);
                    byte[] mac = ours.doFinal(DATA);
                    return Arrays.equals(mac, ours.doFinal(DATA));
                });
            }
        }
    }

    private static void ciphers() throws Exception {
        for (String name : offered("Cipher")) {
            if (!name.startsWith("AES") && !name.equals("RSA/ECB/PKCS1Padding")) {
                continue;
            }
            if (name.startsWith("RSA")) {
                TRIED.put("Cipher " + name, () -> rsaEncrypted(name));
                continue;
            }
            List<Integer> sizes = name.startsWith("AES_")
                ? List.of(Integer.parseInt(name.substring(4, 7))) : List.of(128, 192, 256);
            for (int bits : sizes) {
                SecretKey plain = new SecretKeySpec(DATA, 0, bits / 8, "AES");
                TRIED.put("Cipher " + name + " " + bits, () -> encrypted(name, plain, plain));
            }
            TRIED.put("Cipher with a generated key " + name, () -> {
                KeyGenerator generator = KeyGenerator.getInstance("AES", token);
                generator.init(sizes.get(0));
                return encrypted(name, generator.generateKey(), null);
            });
        }
    }

    /** Encrypted by the token in parts and at once; decrypted by both where Java has the key. */
    private static boolean encrypted(String name, SecretKey key, SecretKey known)
            throws GeneralSecurityException {
        var parameter = name.contains("GCM") ? new GCMParameterSpec(128, DATA, 0, 12)
            : name.contains("ECB") ? null : new IvParameterSpec(DATA, 0, 16);
        boolean whole = name.contains("NoPadding") && !name.contains("CTR") && !name.contains("GCM");
        byte[] plain = Arrays.copyOf(DATA, whole ? 50_000 : 50_001);
        Cipher ours = Cipher.getInstance(name, token);
        ours.init(Cipher.ENCRYPT_MODE, key, parameter);
        aad(ours, name);
        byte[] sealed = new byte[plain.length + 32];
        // P11AEADCipher of Java 17 loses what doFinal is given up to an array's end after an update.
        int first = name.contains("GCM") ? 0 : 1_003;
        int done = first == 0 ? 0 : ours.update(plain, 0, first, sealed, 0);
        done += ours.doFinal(plain, first, plain.length - first, sealed, done);
        sealed = Arrays.copyOf(sealed, done);
        ours.init(Cipher.DECRYPT_MODE, key, parameter);
        aad(ours, name);
        boolean same = Arrays.equals(ours.doFinal(sealed), plain);
        if (known != null) {
            Cipher theirs = Cipher.getInstance(name, "SunJCE");
            theirs.init(Cipher.ENCRYPT_MODE, known, parameter);
            aad(theirs, name);
            same &= Arrays.equals(theirs.doFinal(plain), sealed);
        }
        if (name.contains("GCM")) {
            sealed[0] ^= 1;
            ours.init(Cipher.DECRYPT_MODE, key, parameter);
            aad(ours, name);
            try {
                ours.doFinal(sealed);
                same = false;
            } catch (AEADBadTagException expected) {
                // as it must be
            }
        }
        return same;
    }

    private static void aad(Cipher cipher, String name) {
        if (name.contains("GCM")) {
            cipher.updateAAD(DATA, 0, 77);
        }
    }

    private static boolean rsaEncrypted(String name) throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA", token);
        generator.initialize(2048);
        KeyPair pair = generator.generateKeyPair();
        byte[] plain = Arrays.copyOf(DATA, 100);
        Cipher theirs = Cipher.getInstance(name, "SunJCE");
        theirs.init(Cipher.ENCRYPT_MODE, software(pair.getPublic()));
        Cipher ours = Cipher.getInstance(name, token);
        ours.init(Cipher.DECRYPT_MODE, pair.getPrivate());
        boolean same = Arrays.equals(ours.doFinal(theirs.doFinal(plain)), plain);
        ours.init(Cipher.ENCRYPT_MODE, pair.getPublic());
        byte[] sealed = ours.doFinal(plain);
        ours.init(Cipher.DECRYPT_MODE, pair.getPrivate());
        same &= Arrays.equals(ours.doFinal(sealed), plain);

        SecretKey aes = new SecretKeySpec(DATA, 0, 32, "AES");
        ours.init(Cipher.WRAP_MODE, pair.getPublic());
        byte[] wrapped = ours.wrap(aes);
        ours.init(Cipher.UNWRAP_MODE, pair.getPrivate());
        Key unwrapped = ours.unwrap(wrapped, "AES", Cipher.SECRET_KEY);
        return same && encrypted("AES/CBC/PKCS5Padding", (SecretKey) unwrapped, aes);
    }

    private static void agreements() {
        CURVES.forEach((name, curve) -> TRIED.put("KeyAgreement ECDH " + name, () -> {
            KeyPair here = pair(curve, token);
            KeyPair there = pair(curve, Security.getProvider("SunEC"));
            KeyAgreement ours = KeyAgreement.getInstance("ECDH", token);
            ours.init(here.getPrivate());
            ours.doPhase(there.getPublic(), true);
            KeyAgreement theirs = KeyAgreement.getInstance("ECDH", "SunEC");
            theirs.init(there.getPrivate());
            theirs.doPhase(software(here.getPublic()), true);
            byte[] secret = theirs.generateSecret();
            boolean same = Arrays.equals(ours.generateSecret(), secret);
            ours.init(here.getPrivate());
            ours.doPhase(there.getPublic(), true);
            SecretKey key = ours.generateSecret("TlsPremasterSecret");
            return same && Arrays.equals(key.getEncoded(), secret);
        }));
    }

    private static KeyPair pair(String curve, Provider provider) throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
        generator.initialize(new ECGenParameterSpec(curve));
        return generator.generateKeyPair();
    }

    private static boolean random() throws GeneralSecurityException {
        SecureRandom ours = SecureRandom.getInstance("PKCS11", token);
        ours.setSeed(DATA);
        byte[] some = new byte[40];
        byte[] more = new byte[40];
        ours.nextBytes(some);
        ours.nextBytes(more);
        return !Arrays.equals(some, more);
    }

    private static boolean translated() throws GeneralSecurityException {
        SecretKey plain = new SecretKeySpec(DATA, 0, 32, "AES");
        SecretKey ours = SecretKeyFactory.getInstance("AES", token).translateKey(plain);
        return Arrays.equals(ours.getEncoded(), plain.getEncoded());
    }

    /** Entries of every kind enter the key store, are used, and leave it. */
    private static void stores(String pkcs12) throws Exception {
        KeyStore file = KeyStore.getInstance("PKCS12");
        char[] password = "secret".toCharArray();
        try (var stream = new java.io.FileInputStream(pkcs12)) {
            file.load(stream, password);
        }
        for (String alias : Collections.list(file.aliases())) {
            TRIED.put("key " + alias, () -> {
                Certificate[] chain = file.getCertificateChain(alias);
                store.setKeyEntry(alias, file.getKey(alias, password), null, chain);
                PrivateKey key = (PrivateKey) store.getKey(alias, null);
                String name = key.getAlgorithm().equals("EC") ? "SHA256withECDSA" : "SHA256withRSA";
                Signature ours = Signature.getInstance(name, token);
                ours.initSign(key);
                ours.update(DATA);
                Signature theirs = Signature.getInstance(name);
                theirs.initVerify(chain[0].getPublicKey());
                theirs.update(DATA);
                boolean same = Arrays.equals(store.getCertificateChain(alias), chain);
                boolean verified = theirs.verify(ours.sign());
                store.deleteEntry(alias);
                return same && verified && !store.containsAlias(alias);
            });
        }
        TRIED.put("secret key", () -> {
            SecretKey key = new SecretKeySpec(DATA, 0, 32, "AES");
            store.setKeyEntry("backup", key, null, null);
            SecretKey stored = (SecretKey) store.getKey("backup", null);
            boolean same = encrypted("AES/GCM/NoPadding", stored, key);
            store.deleteEntry("backup");
            return same && !store.containsAlias("backup");
        });
        TRIED.put("nothing left", () -> store.size() == 0);
    }

    /** Many threads sign, digest and make keys at once, the keys of one being garbage soon. */
    private static boolean threads(int count) throws Exception {
        KeyPair shared = pair("secp256r1", token);
        ECPublicKey known = (ECPublicKey) software(shared.getPublic());
        ExecutorService pool = Executors.newFixedThreadPool(count);
        List<Future<Boolean>> results = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            byte[] data = BigInteger.valueOf(number).toByteArray();
            results.add(pool.submit(() -> {
                boolean good = true;
                for (int round = 0; round < 20; round++) {
                    Signature ours = Signature.getInstance("SHA256withECDSA", token);
                    ours.initSign(round % 5 == 0 ? pair("secp256r1", token).getPrivate()
                        : shared.getPrivate());
                    ours.update(data);
                    byte[] signature = ours.sign();
                    Signature theirs = Signature.getInstance("SHA256withECDSA", "SunEC");
                    theirs.initVerify(known);
                    theirs.update(data);
                    good &= theirs.verify(signature) == (round % 5 != 0);
                    byte[] digest = MessageDigest.getInstance("SHA-256", token).digest(data);
                    good &= Arrays.equals(digest, MessageDigest.getInstance("SHA-256").digest(data));
                }
                return good;
            }));
        }
        try {
            boolean good = true;
            for (Future<Boolean> result : results) {
                good &= result.get();
            }
            return good;
        } finally {
            pool.shutdownNow();
        }
    }
}
