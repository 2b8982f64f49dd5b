/* Links against the static library and prints its version. */
#include <stdio.h>
#include <string.h>

const char *rum_version(void);

int main(void) {
    const char *version = rum_version();
    printf("%s\n", version);
    return strchr(version, '.') == NULL;
}
