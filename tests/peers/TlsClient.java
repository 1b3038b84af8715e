// A TLS client of Java's own: prints the subject of the certificate that it gets for a name.
// java TlsClient.java ADDRESS PORT NAME

import java.net.Socket;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

public class TlsClient {
    /** Takes any certificate: which one comes is what is asked. */
    static class TakesAny implements X509TrustManager {
        public void checkClientTrusted(X509Certificate[] chain, String kind) {}

        public void checkServerTrusted(X509Certificate[] chain, String kind) {}

        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    public static void main(String[] arguments) throws Exception {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {new TakesAny()}, null);
        Socket plain = new Socket(arguments[0], Integer.parseInt(arguments[1]));
        plain.setSoTimeout(20_000);
        SSLSocket socket = (SSLSocket)
                context.getSocketFactory().createSocket(plain, arguments[2], plain.getPort(), true);
        socket.startHandshake();
        X509Certificate first = (X509Certificate) socket.getSession().getPeerCertificates()[0];
        System.out.println(first.getSubjectX500Principal().getName());
        socket.close();
    }
}
