// A libggml-base.so in front of the real one that says it is of another commit. Built by tests.
const char * ggml_commit(void);

const char * ggml_commit(void) {
    return "feedbee12";
}
