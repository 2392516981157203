#include "contract.h"
const struct contract_test life_tests[] = {{NULL, NULL}};
const struct contract_test group_tests[] = {{NULL, NULL}};
const struct contract_test namespace_tests[] = {{NULL, NULL}};
const struct contract_test move_tests[] = {{NULL, NULL}};
const struct contract_test scan_tests[] = {{NULL, NULL}};
