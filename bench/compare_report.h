/* What a comparison found, for people and for programs. Each takes a struct comparison that is finished. Main thread.
 */
#ifndef BENCH_COMPARE_REPORT_H
#define BENCH_COMPARE_REPORT_H

#include <stdio.h>

void comparison_text(const void *comparison, FILE *out);
void comparison_json(const void *comparison, FILE *out);
void comparison_markdown(const void *comparison, FILE *out);
void comparison_svg(const void *comparison, FILE *out);
void comparison_html(const void *comparison, FILE *out);

#endif
