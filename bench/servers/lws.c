/* The benchmark's server on libwebsockets: `lws --port N`; LWS_LOOP=libuv takes that loop instead of poll.
 * BENCH_TLS is the folder of certificate and key. */
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICE_BUFFER_BYTES = 65536, LOG_MESSAGES = 64, PATH_BYTES = 4096 };

/* A payload with the room in front that lws_write needs. */
struct message {
  struct message *next;
  size_t bytes;
  int binary;
  unsigned char data[];
};

struct session {
  struct message *first, *last; /* what is to be echoed */
  struct message *partial;      /* what has not arrived in full */
  unsigned long next;           /* the next message of the log, for fan-out */
};

/* Messages to all: each recipient keeps its own place in this ring. */
static struct message *log_of_all[LOG_MESSAGES];
static unsigned long logged;
static volatile sig_atomic_t ended;

static struct message *extend(struct message *message, const void *piece, size_t bytes) {
  size_t before = message ? message->bytes : 0;
  message = realloc(message, sizeof *message + LWS_PRE + before + bytes);
  if (!message)
    abort();
  message->next = NULL;
  message->bytes = before + bytes;
  memcpy(message->data + LWS_PRE + before, piece, bytes);
  return message;
}

/* Gives the whole message once its last piece has come. */
static struct message *receive(struct lws *wsi, struct session *session, const void *piece, size_t bytes) {
  struct message *message = session->partial = extend(session->partial, piece, bytes);
  if (lws_remaining_packet_payload(wsi) || !lws_is_final_fragment(wsi))
    return NULL;
  message->binary = lws_frame_is_binary(wsi);
  session->partial = NULL;
  return message;
}

static int write_message(struct lws *wsi, struct message *message) {
  int kind = message->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
  return lws_write(wsi, message->data + LWS_PRE, message->bytes, kind) < (int)message->bytes ? -1 : 0;
}

static int echo(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t bytes) {
  struct session *session = user;
  struct message *message;
  int result;

  switch (reason) {
  case LWS_CALLBACK_RECEIVE:
    message = receive(wsi, session, in, bytes);
    if (!message)
      return 0;
    if (session->first)
      session->last->next = message;
    else
      session->first = message;
    session->last = message;
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    message = session->first;
    if (!message)
      return 0;
    result = write_message(wsi, message);
    session->first = message->next;
    free(message);
    if (session->first)
      lws_callback_on_writable(wsi);
    return result;
  case LWS_CALLBACK_CLOSED:
    while ((message = session->first)) {
      session->first = message->next;
      free(message);
    }
    free(session->partial);
    return 0;
  default:
    return 0;
  }
}

static int fan_out(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t bytes) {
  struct session *session = user;
  struct message *message;

  switch (reason) {
  case LWS_CALLBACK_ESTABLISHED:
    session->next = logged;
    return 0;
  case LWS_CALLBACK_RECEIVE:
    message = receive(wsi, session, in, bytes);
    if (!message)
      return 0;
    free(log_of_all[logged % LOG_MESSAGES]);
    log_of_all[logged++ % LOG_MESSAGES] = message;
    lws_callback_on_writable_all_protocol(lws_get_context(wsi), lws_get_protocol(wsi));
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    if (session->next == logged)
      return 0;
    if (write_message(wsi, log_of_all[session->next++ % LOG_MESSAGES]))
      return -1;
    if (session->next != logged)
      lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_CLOSED:
    free(session->partial);
    return 0;
  default:
    return 0;
  }
}

static void end(int signal_number) {
  (void)signal_number;
  ended = 1;
}

/* Has the server speak TLS with the files of a folder. */
static void secure(struct lws_context_creation_info *info, const char *folder) {
  static char certificate[PATH_BYTES], key[PATH_BYTES];

  snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
  snprintf(key, sizeof key, "%s/key.pem", folder);
  info->ssl_cert_filepath = certificate;
  info->ssl_private_key_filepath = key;
  info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
}

int main(int count, char **words) {
  static const struct lws_protocols protocols[] = {
    { "echo", echo, sizeof(struct session), SERVICE_BUFFER_BYTES, 0, NULL, 0 },
    { "fanout", fan_out, sizeof(struct session), SERVICE_BUFFER_BYTES, 0, NULL, 0 },
    { NULL, NULL, 0, 0, 0, NULL, 0 },
  };
  struct lws_context_creation_info info = { 0 };
  struct lws_context *context;
  const char *loop = getenv("LWS_LOOP"), *folder = getenv("BENCH_TLS");
  int libuv = loop && !strcmp(loop, "libuv");

  info.port = count == 3 ? atoi(words[2]) : CONTEXT_PORT_NO_LISTEN_SERVER;
  info.iface = "127.0.0.1";
  info.protocols = protocols;
  info.pt_serv_buf_size = SERVICE_BUFFER_BYTES;
  info.options = libuv ? LWS_SERVER_OPTION_LIBUV : 0;
  if (folder)
    secure(&info, folder);
  lws_set_log_level(LLL_ERR, NULL);
  context = lws_create_context(&info);
  if (!context)
    return 1;
  if (count != 3) {
    puts(lws_get_library_version());
    lws_context_destroy(context);
    return 0;
  }
  signal(SIGTERM, end);
  while (!ended && lws_service(context, 0) >= 0)
    ;
  lws_context_destroy(context);
  return 0;
}
